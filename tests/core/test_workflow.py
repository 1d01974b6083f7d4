"""Workflows that cannot run are refused, every fault named."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.core.retry import Retry
from penstock.core.workflow import STEPS_MAX, Step, Workflow, each_parts, validate


def step(name: str, *after: str, **options: Any) -> Step:
    return Step(name=name, function="test/f@1", after=after, **options)


def faults(*steps: Step) -> tuple[str, ...]:
    with pytest.raises(Invalid, match=r"workflow test/w@1 cannot run:") as refused:
        validate(Workflow(tenant="local", name="test/w", version=1, steps=steps))
    return refused.value.faults


def test_a_workflow_without_faults_passes() -> None:
    steps = (
        step("list.files"),
        step("map", "between", each="list.files.found", window=1),
        step("between", "list.files"),
        step("end", "map", when="list_files_count > 3 AND EXISTS map"),
    )
    validate(Workflow(tenant="local", name="test/w", version=1, steps=steps))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "it has no steps"),
        ((step("a"), step("a")), "2 steps are called 'a'"),
        ((step("a", "b"),), "step 'a': 'after' names 'b', which is no step; there are 'a'"),
        ((step("a", "a"),), "in a ring: a -> a;"),
        (
            (step("d", "c"), step("a", "c"), step("b", "a"), step("c", "b"), step("ok")),
            "in a ring: c -> a -> b -> c;",
        ),
        (
            (step("a"), step("b", each="a")),
            "step 'b': 'each' is 'a', but 'a' is not before it; add it to 'after'",
        ),
        ((step("a"), step("b", "a", each="c.x")), "step 'b': 'each' is 'c.x'"),
        ((step("a"), step("b", "a", when="a_x >")), "step 'b': 'when': "),
        ((step("a-b"), step("a.b"), step("c", "a-b", "a.b", when="a_b_x")), "'a-b' and 'a.b' apart"),
        ((step("subject"), step("c", "subject", when="TRUE")), "'when' cannot name step 'subject'"),
        ((step("A"),), "a name has at most 63 of a-z"),
        ((step("a", window=0),), "window is 0; expected 1 to 100,000"),
        ((step("a", tolerate=-1),), "tolerate is -1"),
        ((step("a", retry=Retry(attempts=0)),), "retry.attempts is 0"),
        ((step("a", retry=Retry(delay_s=float("nan"))),), "retry.delay_s"),
        ((step("a", retry=Retry(factor=0.5)),), "retry.factor is 0.5"),
        ((step("a", retry=Retry(jitter=1.5)),), "retry.jitter is 1.5"),
    ],
)
def test_a_fault_is_named_with_its_place(steps: tuple[Step, ...], said: str) -> None:
    found = faults(*steps)
    assert len(found) == 1
    assert said in found[0]


def test_all_faults_are_named_at_once() -> None:
    assert len(faults(step("a", "x", window=0), step("b", "y"), step("c", "c"))) == 4


def test_too_many_steps_are_refused() -> None:
    assert (
        "it has 1,001 steps; the most is 1,000" in faults(*(step(f"s{n}") for n in range(STEPS_MAX + 1)))[0]
    )


def test_the_longest_chain_passes() -> None:
    steps = (step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, STEPS_MAX)))
    validate(Workflow(tenant="local", name="test/w", version=1, steps=steps))


def test_the_longest_step_name_that_fits_is_meant_by_each() -> None:
    assert each_parts("a.b.c", {"a", "a.b"}) == ("a.b", ("c",))
    assert each_parts("a", {"a"}) == ("a", ())
    with pytest.raises(Invalid, match=r"expected 'step' or 'step.member'"):
        each_parts("b.c", {"a"})
