"""What a trigger whose filter matches decides."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.event import Event
from penstock.core.ports import Record
from penstock.core.rows import Outcome
from penstock.core.workflow import Step, Trigger, Workflow
from penstock.routing.index import FilterIndex
from penstock.routing.triggers import Triggers


def decided(offset: int = 10, *, event: dict[str, Any] | None = None, **members: Any) -> tuple[Outcome, str]:
    """Return what one trigger decides; ``members`` are its own and its workflow's."""
    own = {"own_outputs", "depth_max"} & members.keys()
    step = Step(name="s", function="me/f@1")
    workflow = Workflow(
        name="me/w", version=1, tenant="local", steps=(step,), **{name: members.pop(name) for name in own}
    )
    causes = {"ours": "me/w", "theirs": "me/other"}
    triggers = Triggers(FilterIndex(), lambda _t, _r: workflow, lambda event: causes[event.cause or ""])
    given: dict[str, Any] = {
        "id": "t",
        "tenant": "local",
        "principal": "me",
        "name": "me/t",
        "workflow": "me/w@1",
        "since": 5,
    }
    trigger = Trigger(**{**given, **members}, filter={"exact": {"type": "x"}})
    triggers.changed(trigger, "t")
    told = Event(id="e", source="/test", type="x", **(event or {}))
    (match,) = triggers.decide(Record(0, offset, 1, told))
    return match.outcome, match.reason


@pytest.mark.parametrize(("offset", "outcome"), [(4, Outcome.REFUSED), (5, Outcome.MATCHED)])
def test_an_event_older_than_the_trigger_starts_nothing(offset: int, outcome: Outcome) -> None:
    assert decided(offset)[0] is outcome


def test_a_paused_trigger_only_notes_what_it_would_start() -> None:
    assert decided(paused=True)[0] is Outcome.PAUSED


@pytest.mark.parametrize(
    ("cause", "own_outputs", "outcome"),
    [("ours", False, Outcome.REFUSED), ("ours", True, Outcome.MATCHED), ("theirs", False, Outcome.MATCHED)],
)
def test_a_workflow_starts_on_its_own_outputs_only_if_it_says_so(
    cause: str, own_outputs: bool, outcome: Outcome
) -> None:
    assert decided(event={"cause": cause, "depth": 1}, own_outputs=own_outputs)[0] is outcome


@pytest.mark.parametrize(("depth", "outcome"), [(2, Outcome.MATCHED), (3, Outcome.LOOP), (4, Outcome.LOOP)])
def test_a_ring_ends_at_the_limit_of_depth(depth: int, outcome: Outcome) -> None:
    found, reason = decided(event={"cause": "theirs", "depth": depth}, depth_max=3)
    assert found is outcome
    assert ("ring of triggers" in reason) == (outcome is Outcome.LOOP)
