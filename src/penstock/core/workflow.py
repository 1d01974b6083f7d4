"""Workflows: named graphs of steps, and the triggers that start them.

A function deployed on its own is a workflow of one step, so that there is one way to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from enum import StrEnum
from math import inf
from typing import Any

from msgspec import Struct

from penstock.core.cesql import compile_cesql
from penstock.core.condition import RUN_NAMES, spelled
from penstock.core.errors import Invalid
from penstock.core.event import DEPTH_MAX
from penstock.core.function import NAME
from penstock.core.graph import ancestors, ring_in
from penstock.core.retry import Retry

MAP_ITEMS_MAX = 100_000
"""Longest list that a step maps over."""
STEPS_MAX = 1_000
"""Most steps of one workflow."""
NAMES_SHOWN = 20
"""Most step names that one error lists."""
ATTEMPTS_MAX = 1_000
"""Most tries of one step."""


class Batch(Struct, frozen=True, kw_only=True):
    """What a step that runs on a batch system asks for.

    Attributes:
        system: Name of the batch system in the settings.
        cores: Cores.
        memory_bytes: Memory.
        walltime_s: Longest running time, in seconds.
    """

    system: str = "local"
    cores: int = 1
    memory_bytes: int = 1 << 30
    walltime_s: float = 3600.0


class Join(StrEnum):
    """When a step with several predecessors may start."""

    ALL = "all"
    """When every one succeeded (a skipped one counts as absent, all skipped skips this one too)."""
    ENDED = "ended"
    """When every one ended, however it ended; results of failed ones are absent."""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node of a workflow.

    Attributes:
        name: Unique in the workflow.
        function: ``namespace/name@version``, pinned when the workflow was deployed.
        after: Names of the steps before it; none means that it starts with the run.
        join: When it may start, seen from its predecessors.
        when: Condition in CESQL over ``subject``, ``trigger``, ``generation`` and the answers of
            earlier steps as ``step_member`` (see ``core.condition``); empty means always.
        each: ``step.member`` (or ``step``) whose list it maps over; empty means one call. The step named is
            before this one, directly or not.
        window: Most items in flight at once, for a map.
        tolerate: Failed items at which a map still succeeds; their places hold null.
        retry: How it is tried again.
        batch: Set when it is offloaded.
        outputs: Template of published paths; empty means the function's.
    """

    name: str
    function: str
    after: tuple[str, ...] = ()
    join: Join = Join.ALL
    when: str = ""
    each: str = ""
    window: int = 64
    tolerate: int = 0
    retry: Retry = Retry()
    batch: Batch | None = None
    outputs: str = ""


class Workflow(Struct, frozen=True, kw_only=True, omit_defaults=True, cache_hash=True):
    """One version of a workflow; runs pin it when they start.

    Attributes:
        tenant: Who owns it.
        name: ``namespace/name``.
        version: From 1.
        steps: In the order in which people see them; what runs after what, ``Step.after`` says.
        depth_max: Deepest chain of causes that it starts on.
        own_outputs: Whether outputs of its own runs may start it again.
        summary: For people.
    """

    tenant: str
    name: str
    version: int
    steps: tuple[Step, ...]
    depth_max: int = DEPTH_MAX
    own_outputs: bool = False
    summary: str = ""

    @property
    def reference(self) -> str:
        """``namespace/name@version``."""
        return f"{self.name}@{self.version}"


class Trigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription whose sink is a workflow.

    Attributes:
        id: Derived from tenant and name.
        tenant: Who owns it.
        principal: Who deployed it; runs act for them.
        name: ``namespace/name``; the workflow's name unless it has several triggers.
        filter: A CloudEvents Subscriptions filter (see ``core.filter``).
        workflow: ``namespace/name@version`` that it starts.
        paused: Whether it holds its cursor still.
        since: Log offset of the first event it may see.
    """

    id: str
    tenant: str
    principal: str
    name: str
    filter: dict[str, Any]
    workflow: str
    paused: bool = False
    since: int = 0


def each_parts(each: str, steps: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Return the step that ``each`` names, and the members that lead to the list in its answer.

    Step names may have dots, so the longest name that fits is meant.

    Raises:
        Invalid: It names none of ``steps``.
    """
    parts = each.split(".")
    for length in range(len(parts), 0, -1):
        step = ".".join(parts[:length])
        if step in steps:
            return step, tuple(parts[length:])
    raise Invalid(f"'each' is {each!r}: expected 'step' or 'step.member' with a step before this one")


def validate(workflow: Workflow) -> None:
    """Check that ``workflow`` can run, whatever its functions answer.

    Raises:
        Invalid: It cannot; ``faults`` names every fault.
    """
    faults = [*_whole_faults(workflow), *_graph_faults(workflow)]
    for step in workflow.steps:
        faults += [f"step {step.name!r}: {fault}" for fault in _step_faults(step)]
    if faults:
        raise Invalid(f"workflow {workflow.reference} cannot run:", tuple(faults))


def _whole_faults(workflow: Workflow) -> Iterator[str]:
    names = [step.name for step in workflow.steps]
    if not names:
        yield "it has no steps; give it at least one"
    if len(names) > STEPS_MAX:
        yield f"it has {len(names):,} steps; the most is {STEPS_MAX:,} (a map calls one step many times)"
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{count} steps are called {name!r}; give each its own name"


def _step_faults(step: Step) -> Iterator[str]:
    if NAME.fullmatch(step.name) is None:
        yield "a name has at most 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first and last"
    if not 1 <= step.window <= MAP_ITEMS_MAX:
        yield f"window is {step.window}; expected 1 to {MAP_ITEMS_MAX:,} items in flight"
    if not 0 <= step.tolerate <= MAP_ITEMS_MAX:
        yield f"tolerate is {step.tolerate}; expected 0 to {MAP_ITEMS_MAX:,} failed items"
    if not 1 <= step.retry.attempts <= ATTEMPTS_MAX:
        yield f"retry.attempts is {step.retry.attempts}; expected 1 (never again) to {ATTEMPTS_MAX:,}"
    if not (0 <= step.retry.delay_s < inf and 0 <= step.retry.delay_s_max < inf):
        yield "retry.delay_s and retry.delay_s_max: expected seconds from 0 on"
    if not 1 <= step.retry.factor < inf:
        yield f"retry.factor is {step.retry.factor}; expected 1 (equal delays) or more"
    if not 0 <= step.retry.jitter <= 1:
        yield f"retry.jitter is {step.retry.jitter}; expected a share from 0 to 1"


def _graph_faults(workflow: Workflow) -> list[str]:
    if len(workflow.steps) > STEPS_MAX:
        return []
    steps = {step.name: step for step in workflow.steps}
    faults = [
        f"step {step.name!r}: 'after' names {name!r}, which is no step; there are {_list(steps)}"
        for step in workflow.steps
        for name in step.after
        if name not in steps
    ]
    known = {name: [other for other in step.after if other in steps] for name, step in steps.items()}
    earlier = ancestors(known)
    if len(earlier) < len(steps):
        ring = ring_in({name: known[name] for name in steps if name not in earlier})
        faults.append(f"steps wait for each other in a ring: {' -> '.join(ring)}; take one 'after' out of it")
    for step in workflow.steps:
        before = earlier.get(step.name)
        if before is not None:
            faults += [f"step {step.name!r}: {fault}" for fault in _reference_faults(step, steps, before)]
    return faults


def _reference_faults(step: Step, steps: Collection[str], before: Collection[str]) -> Iterator[str]:
    if step.each:
        try:
            source, _ = each_parts(step.each, steps)
        except Invalid as error:
            yield f"{error}; there are {_list(before)}"
        else:
            if source not in before:
                yield f"'each' is {step.each!r}, but {source!r} is not before it; add it to 'after'"
    if step.when:
        try:
            compile_cesql(step.when)
        except Invalid as error:
            yield f"'when': {error}"
        yield from _spelling_faults(before)


def _spelling_faults(before: Collection[str]) -> Iterator[str]:
    spellings: dict[str, str] = {}
    for name in sorted(before):
        other = spellings.setdefault(spelled(name), name)
        if other != name:
            yield f"'when' cannot tell steps {other!r} and {name!r} apart, both are written {spelled(name)!r}"
        if spelled(name) in RUN_NAMES:
            yield f"'when' cannot name step {name!r}, for {spelled(name)!r} is the run's own; rename the step"


def _list(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:NAMES_SHOWN]) + (
        f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "" if names else "none"
    )
