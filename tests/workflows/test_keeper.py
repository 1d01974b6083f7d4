"""Runs taken over by a new life of the engine."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.event import FILE_CREATED, Event
from penstock.core.lifecycle import StepEnd
from penstock.core.ports import Record
from penstock.core.retry import Retry
from penstock.core.rows import RunRow
from penstock.core.run import Call, Wait
from penstock.core.workflow import Step, Trigger, Workflow
from penstock.testing.state import MemoryState
from penstock.workflows.active import LARGE_ITEMS
from penstock.workflows.keeper import Keeper
from penstock.workflows.registry import Registry
from penstock.workflows.runs import LARGE_FACTS

EVENT = Event(id="local:1", source="/storages/local", type=FILE_CREATED, subject="/data/a")
TRIGGER = Trigger(id="t", tenant="local", principal="me", name="me/t", workflow="me/w@1", filter={})
WORKFLOW = Workflow(name="me/w", version=1, tenant="local", steps=(Step(name="one", function="me/f@1"),))


class Bench:
    """A keeper over a state; what it commands and emits is noted."""

    def __init__(
        self, state: MemoryState | None = None, capacity: int = 10, workflow: Workflow = WORKFLOW
    ) -> None:
        self.state = state or MemoryState()
        self.emitted: list[str] = []
        self.called: list[str] = []
        self.waited: list[str] = []
        self.log: list[Event] = [EVENT] if state else []
        registry = Registry(self.state, lambda _trigger, _name: None)
        registry.workflows["local", "me/w@1"] = workflow
        nobody: Any = self
        self.keeper = Keeper(
            self.state,
            registry,
            nobody,
            nobody,
            lambda event: self.emitted.append(event.type),
            lambda offset: self.log[offset],
            capacity,
        )

    def call(self, active: Any, command: Call) -> None:
        self.called.append(f"{active.run.id}/{command.step}/{command.attempt}")

    def wait(self, active: Any, command: Wait) -> None:
        self.waited.append(f"{active.run.id}/{command.step}/{command.item}/{command.attempt}")

    def forget(self, _run: str) -> None:
        pass

    def succeeded(self, _run: Any, _event: Event) -> None:
        pass

    def start(self, event: Event = EVENT) -> str:
        self.log.append(event)
        return self.keeper.start(TRIGGER, Record(0, len(self.log) - 1, 1, event), at_ns=1)

    def ended(self, run: str, end: StepEnd | None = None) -> None:
        end = end or StepEnd(run=run, step="one", attempt=1)
        kind = lifecycle.STEP_FAILED if end.error else lifecycle.STEP_SUCCEEDED
        event = lifecycle.step_event(kind, end, 1, run)
        self.keeper.fold(Record(0, 1, 2, event))


def test_what_a_run_raised_is_told_again_before_anything_is_committed() -> None:
    first = Bench()
    run = first.start()
    first.keeper.stage()
    second = Bench(first.state)
    second.keeper.load()
    second.ended(run)
    assert second.emitted == []
    second.keeper.caught_up()
    assert second.emitted == [lifecycle.RUN_SUCCEEDED]
    second.keeper.resume()
    assert second.emitted == [lifecycle.RUN_SUCCEEDED]
    assert second.called == []


def test_what_has_no_answer_is_called_when_everything_is_ready() -> None:
    first = Bench()
    run = first.start()
    first.keeper.stage()
    second = Bench(first.state)
    second.keeper.load()
    second.keeper.caught_up()
    assert second.called == []
    second.keeper.resume()
    assert second.called == [f"{run}/one/1"]


def test_an_event_whose_run_has_ended_does_not_run_again() -> None:
    bench = Bench()
    run = bench.start()
    bench.ended(run)
    assert bench.start() == run
    assert bench.called == [f"{run}/one/1"]
    assert bench.state.select(RunRow)[0].phase == "succeeded"


@pytest.mark.parametrize("which", [0, 1])
def test_waiting_runs_begin_in_their_order_without_those_that_were_cancelled(which: int) -> None:
    bench = Bench(capacity=1)
    names = [bench.start(Event(id=f"local:{n}", source="/storages/local", type="t")) for n in range(3)]
    gone = names[1:][which]
    request = lifecycle.CancelRequest(run=gone, reason="no", principal="me")
    wish = lifecycle.request_event(lifecycle.RUN_CANCEL_REQUESTED, request, "n", gone)
    bench.keeper.fold(Record(0, 5, 5, wish))
    bench.ended(names[0])
    left = next(name for name in names[1:] if name != gone)
    assert list(bench.keeper.active) == [left]
    assert not bench.keeper.backlog


def test_an_item_that_failed_for_good_is_not_tried_again_after_a_restart() -> None:
    steps = (
        Step(name="list", function="me/f@1"),
        Step(
            name="each",
            function="me/f@1",
            after=("list",),
            each="list.all",
            window=2000,
            tolerate=2000,
            retry=Retry(attempts=3),
        ),
    )
    workflow = Workflow(name="me/w", version=1, tenant="local", steps=steps)
    first = Bench(workflow=workflow)
    run = first.start()
    listed = Raw(b'{"all":%s}' % str(list(range(LARGE_ITEMS + 1))).encode())
    first.ended(run, StepEnd(run=run, step="list", attempt=1, result=listed))
    first.keeper.active[run].facts = LARGE_FACTS
    first.keeper.stage()  # the last snapshot; from now on rows only tell
    first.ended(run, StepEnd(run=run, step="each", item=0, attempt=1, error="no peak", retryable=False))
    first.ended(run, StepEnd(run=run, step="each", item=1, attempt=1, error="lost", retryable=True))
    first.ended(run, StepEnd(run=run, step="each", item=2, attempt=1))
    first.keeper.stage()
    second = Bench(first.state, workflow=workflow)
    second.keeper.load()
    second.keeper.caught_up()
    second.keeper.resume()
    again = second.keeper.active[run].run.steps["each"].items
    before = first.keeper.active[run].run.steps["each"].items
    assert again is not None
    assert before is not None
    assert again.states == before.states
    assert again.errors == before.errors
    assert second.waited == [f"{run}/each/1/2"]
    assert len(second.called) == LARGE_ITEMS + 1 - 3
