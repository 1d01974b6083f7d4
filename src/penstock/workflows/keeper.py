"""Keeps the runs: folds the log's records into them and carries out what the state machine commands.

Everything that changes a run is a record of the log. While the log is folded again after a crash
(``replaying``), commands and emissions are only noted; what the log's later records answer is struck
off, and ``resume`` carries out the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import NotFound, PenstockError
from penstock.core.event import Event, decode_trusted
from penstock.core.lifecycle import CancelRequest, RunRequest, StepDue, StepEnd, data_of
from penstock.core.ports import Record
from penstock.core.rerun import rerun
from penstock.core.rows import AttemptRow, DeadLetter, Row, RunRow
from penstock.core.run import (
    Call,
    Cancel,
    Command,
    End,
    Fact,
    Phase,
    RetryDue,
    Run,
    Start,
    StepFailed,
    Stop,
    Succeeded,
    Wait,
    advance,
)
from penstock.core.snapshot import restore
from penstock.core.standing import standing
from penstock.core.workflow import Trigger
from penstock.workflows.active import Active
from penstock.workflows.noted import Noted
from penstock.workflows.registry import Registry
from penstock.workflows.rows import Waiting, dead_letter, first_run, run_row

_json = msgspec.json.Encoder()
LARGE_FACTS = 5000
"""Facts about a run with a long map between two of its snapshots."""
LIVE = ("running", "retrying", "waiting")


class RunStore(Protocol):
    """What the keeper needs of the state."""

    def put(self, *rows: Row) -> None:
        """Stage rows."""

    def get(self, kind: type[Any], *key: Any) -> Any:
        """Return a row by key, or None."""

    def select(self, kind: type[Any], **equal: Any) -> list[Any]:
        """Return rows."""


class Hands(Protocol):
    """Carries out commands; outcomes come back as events on the log."""

    def call(self, active: Active, command: Call) -> None:
        """Call the step's function, or submit its job."""

    def stop(self, active: Active, command: Stop) -> None:
        """End an attempt."""

    def wait(self, active: Active, command: Wait) -> None:
        """Arrange for ``step.due`` after the delay that the step's rule gives."""

    def forget(self, run: str) -> None:
        """The run has ended; drop its timers."""


class Graveyard(Protocol):
    """Where runs go that failed for good."""

    def put(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""

    def succeeded(self, subject: str) -> None:
        """A run on ``subject`` succeeded; what failed on it before is settled."""


class Keeper:
    """All runs that have not ended.

    Args:
        store: State.
        registry: Definitions.
        hands: Carries out commands.
        letters: Receives runs that failed.
        emit: Appends events to the log, in order, without waiting.
        read_event: Returns the event at a log offset.
        capacity: Most runs under way at once; later ones wait, their events stay in the log.
    """

    def __init__(
        self,
        store: RunStore,
        registry: Registry,
        hands: Hands,
        letters: Graveyard,
        emit: Callable[[Event], None],
        read_event: Callable[[int], Event],
        capacity: int = 512,
    ) -> None:
        self._store = store
        self._registry = registry
        self._hands = hands
        self._letters = letters
        self._emit_now = emit
        self._read_event = read_event
        self.capacity = capacity
        self.active: dict[str, Active] = {}
        self.backlog: deque[Waiting] = deque()
        self._dirty: dict[str, Active] = {}
        self.replaying = False
        self._noted = Noted()
        self._folds: dict[str, Callable[[Record], None]] = {
            lifecycle.STEP_SUCCEEDED: self._step_succeeded,
            lifecycle.STEP_FAILED: self._step_failed,
            lifecycle.STEP_DUE: self._step_due,
            lifecycle.RUN_REQUESTED: self._requested,
            lifecycle.RUN_CANCEL_REQUESTED: self._cancel_requested,
        }

    # -- from the log ------------------------------------------------------------------------

    def fold(self, record: Record) -> None:
        """Let one record change the runs it is about."""
        if self.replaying:
            self._noted.events.pop(record.event.id, None)
        handler = self._folds.get(record.event.type)
        if handler is not None:
            handler(record)

    def start(self, trigger: Trigger, record: Record, *, at_ns: int) -> str:
        """Start the run of ``trigger`` for the record's event and return its id."""
        run = first_run(trigger, record.event, record.offset, at_ns)
        if run.id in self.active:
            return run.id
        if len(self.active) < self.capacity:
            self._begin(run, record.event)
        else:
            self._store.put(run_row(run))
            self.backlog.append(Waiting(run.id, record.offset, trigger, at_ns))
        return run.id

    def _begin(self, run: Run, event: Event, params: Raw | None = None) -> None:
        try:
            workflow = self._registry.workflow(run.tenant, run.workflow)
        except NotFound as error:
            run.phase, run.error, run.ended_ns = Phase.FAILED, str(error), run.started_ns
            self._store.put(run_row(run))
            return
        active = self.active[run.id] = Active(run, workflow, event, params)
        self._advance(active, Start(), run.started_ns)  # first, so that the function starts without delay
        self._emit(lifecycle.run_event(lifecycle.RUN_STARTED, run))

    def _step_succeeded(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        active = self.active.get(end.run)
        if active is None or not self._attempt_ended(active, end, Phase.SUCCEEDED):
            return
        active.add_outputs(end.step, end.outputs)
        self._advance(active, Succeeded(end.step, end.attempt, end.result, end.item), record.appended_ns)

    def _step_failed(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        active = self.active.get(end.run)
        if active is None or not self._attempt_ended(active, end, Phase.FAILED):
            return
        fact = StepFailed(end.step, end.attempt, end.error, end.retryable, end.item)
        self._advance(active, fact, record.appended_ns)

    def _attempt_ended(self, active: Active, end: StepEnd, phase: Phase) -> bool:
        if end.step not in active.steps:
            return False
        self._noted.strike(end.run, end.step, end.item, end.attempt)
        self._store.put(
            AttemptRow(
                run=end.run,
                step=end.step,
                item=end.item,
                attempt=end.attempt,
                tenant=active.run.tenant,
                phase=phase,
                function=end.function,
                place=end.place,
                started_ns=end.started_ns,
                ended_ns=end.ended_ns,
                error=end.error,
                result=bytes(end.result),
                outputs=_json.encode(end.outputs).decode(),
                log=end.log,
            )
        )
        return True

    def _step_due(self, record: Record) -> None:
        due = data_of(record.event, StepDue)
        self._noted.strike(due.run, due.step, due.item, -due.attempt)
        active = self.active.get(due.run)
        if active is not None:
            self._advance(active, RetryDue(due.step, due.attempt, due.item), record.appended_ns)

    def _cancel_requested(self, record: Record) -> None:
        request = data_of(record.event, CancelRequest)
        if request.run not in self.active:
            self.backlog = deque(waiting for waiting in self.backlog if waiting.run != request.run)
            self._promote_stored(request.run)
        active = self.active.get(request.run)
        if active is not None:
            self._advance(active, Cancel(request.reason), record.appended_ns)

    def _requested(self, record: Record) -> None:
        request = data_of(record.event, RunRequest)
        event = decode_trusted(request.event)
        key = request.trigger or record.event.id
        run_id = lifecycle.run_id(request.tenant, key, event.id, request.generation)
        if run_id in self.active or self._store.get(RunRow, run_id) is not None:
            return
        run = Run(
            id=run_id,
            tenant=request.tenant,
            principal=request.principal,
            workflow=request.workflow,
            trigger=request.trigger,
            event_id=event.id,
            offset=record.offset,
            subject=event.subject or "",
            generation=request.generation,
            depth=event.depth or 0,
            started_ns=record.appended_ns,
        )
        if request.rerun_of:
            self._rerun(run, request, event)
        elif len(self.active) < self.capacity:
            self._begin(run, event, request.params)
        else:
            self._store.put(run_row(run))
            self.backlog.append(Waiting(run_id, record.offset, None, 0))

    def _rerun(self, run: Run, request: RunRequest, event: Event) -> None:
        row = self._store.get(RunRow, request.rerun_of)
        if row is None:
            return
        old = restore(row.snapshot)
        workflow = self._registry.workflow(run.tenant, old.workflow)
        steps = frozenset({request.from_step}) if request.from_step else None
        fresh = rerun(workflow, old, run.id, run.generation, steps)
        fresh.started_ns, fresh.ended_ns = run.started_ns, 0
        active = self.active[run.id] = Active(fresh, workflow, event, request.params)
        self._take_outputs(active, request.rerun_of, done=Phase.SUCCEEDED)
        self._emit(lifecycle.run_event(lifecycle.RUN_STARTED, fresh))
        self._advance(active, Start(), run.started_ns)

    # -- the state machine -------------------------------------------------------------------

    def _advance(self, active: Active, fact: Fact, at_ns: int) -> None:
        self._dirty[active.run.id] = active
        active.facts += 1
        for command in advance(active.workflow, active.run, fact):
            self._carry_out(active, command, at_ns)

    def _carry_out(self, active: Active, command: Command, at_ns: int) -> None:
        if isinstance(command, End):
            self._ended(active, command, at_ns)
        elif self.replaying:
            self._noted.note(active.run.id, command)
        elif isinstance(command, Call):
            self._hands.call(active, command)
        elif isinstance(command, Wait):
            self._hands.wait(active, command)
        else:
            self._hands.stop(active, command)

    def _ended(self, active: Active, end: End, at_ns: int) -> None:
        run = active.run
        run.phase, run.error, run.ended_ns = end.phase, end.error, at_ns
        self._store.put(run_row(run))
        self._dirty.pop(run.id, None)
        del self.active[run.id]
        self._hands.forget(run.id)
        if end.phase is Phase.FAILED:
            self._letters.put(dead_letter(run, active.event, at_ns))
        elif end.phase is Phase.SUCCEEDED:
            self._letters.succeeded(run.subject)
        self._emit(lifecycle.run_event(lifecycle.ENDED_TYPE[end.phase], run))
        if not self.replaying:
            self.fill()

    def _emit(self, event: Event) -> None:
        if self.replaying:
            self._noted.events[event.id] = event
        else:
            self._emit_now(event)

    # -- waiting runs ------------------------------------------------------------------------

    def fill(self) -> None:
        """Begin waiting runs while there is room."""
        while self.backlog and len(self.active) < self.capacity:
            self._promote(self.backlog.popleft())

    def _promote(self, waiting: Waiting) -> None:
        if waiting.trigger is not None:
            event = self._read_event(waiting.offset)
            self._begin(first_run(waiting.trigger, event, waiting.offset, waiting.at_ns), event)
        else:
            self._promote_stored(waiting.run)

    def _promote_stored(self, run_id: str) -> None:
        row = self._store.get(RunRow, run_id)
        if row is None or row.phase != Phase.WAITING or run_id in self.active:
            return
        run = restore(row.snapshot)
        event, params = self.event_of(run)
        self._begin(run, event, params)

    def event_of(self, run: Run) -> tuple[Event, Raw | None]:
        """Return the event that a run started from, and what a person gave with it."""
        event = self._read_event(run.offset)
        if event.type != lifecycle.RUN_REQUESTED:
            return event, None
        request = data_of(event, RunRequest)
        return decode_trusted(request.event), request.params

    # -- restart -----------------------------------------------------------------------------

    def load(self) -> None:
        """Take over the runs that had not ended; commands are noted until ``resume``."""
        self.replaying = True
        for phase in LIVE:
            for row in self._store.select(RunRow, phase=phase):
                self._load(row)
        self.backlog = deque(sorted(self.backlog, key=lambda waiting: waiting.offset))

    def _load(self, row: RunRow) -> None:
        run = restore(row.snapshot)
        if run.phase is Phase.WAITING and not run.steps:
            self.backlog.append(Waiting(run.id, run.offset, None, 0))
            return
        try:
            event, params = self.event_of(run)
            workflow = self._registry.workflow(run.tenant, run.workflow)
        except PenstockError as error:
            run.phase, run.error, run.ended_ns = Phase.FAILED, f"cannot go on after a restart: {error}", 1
            self._store.put(run_row(run))
            return
        active = self.active[run.id] = Active(run, workflow, event, params)
        self._take_outputs(active, run.id)
        for command in standing(run):
            self._noted.note(run.id, command)
        if active.is_large:
            self._take_items(active)

    def _take_items(self, active: Active) -> None:
        """Tell a run with a long map what ended since its snapshot; what it knows already changes nothing."""
        rows = [row for row in self._store.select(AttemptRow, run=active.run.id) if row.item >= 0]
        before = -1
        while before != active.facts and active.run.id in self.active:
            before = active.facts
            rows = [row for row in rows if not self._told_item(active, row)]

    def _told_item(self, active: Active, row: AttemptRow) -> bool:
        ended = row.phase in (Phase.SUCCEEDED, Phase.FAILED)
        if not ended or not self._noted.strike(row.run, row.step, row.item, row.attempt):
            return False
        fact: Fact = Succeeded(row.step, row.attempt, Raw(row.result), row.item)
        if row.phase == Phase.FAILED:
            fact = StepFailed(row.step, row.attempt, row.error, True, row.item)
        self._advance(active, fact, row.ended_ns)
        return True

    def _take_outputs(self, active: Active, run_id: str, done: str = Phase.SUCCEEDED) -> None:
        for row in self._store.select(AttemptRow, run=run_id):
            kept = active.run.steps.get(row.step)
            if row.phase == done and kept is not None and kept.phase in (Phase.SUCCEEDED, Phase.RUNNING):
                active.add_outputs(row.step, tuple(msgspec.json.decode(row.outputs)))

    def is_unanswered(self, run: str, step: str, item: int, attempt: int) -> bool:
        """Whether the log, as far as it was folded, holds no end of this attempt."""
        return (run, step, item, attempt) in self._noted.commands

    def resume(self, answered: frozenset[tuple[str, str, int, int]] = frozenset()) -> None:
        """Carry out what was noted and not answered; ``answered`` attempts have answers on their way."""
        self.replaying = False
        noted, self._noted = self._noted, Noted()
        for event in noted.events.values():
            self._emit_now(event)
        for key, (run, command) in noted.commands.items():
            active = self.active.get(run)
            if active is not None and key not in answered:
                self._carry_out(active, command, active.run.started_ns)
        self.fill()

    # -- state -------------------------------------------------------------------------------

    def stage(self) -> None:
        """Stage a row for every run that changed since the last call."""
        dirty, self._dirty = self._dirty, {}
        for active in dirty.values():
            if active.facts < LARGE_FACTS and active.is_large:
                self._dirty[active.run.id] = active  # its attempts' rows tell what a snapshot would
                continue
            active.facts = 0
            self._store.put(run_row(active.run))
