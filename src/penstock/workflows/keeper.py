"""Keeps the runs: folds the log's records into them and carries out what the state machine commands.

Everything that changes a run is a record of the log. While the log is folded again after a crash
(``replaying``), commands and emissions are only noted; what the log's later records answer is struck
off, and ``resume`` carries out the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import NotFound, PenstockError, Refused, Trimmed
from penstock.core.event import NEW_CONTENT, Event, decode
from penstock.core.items import SUCCEEDED
from penstock.core.job import JobState
from penstock.core.lifecycle import CancelRequest, RunRequest, StepDue, StepEnd, data_of
from penstock.core.ports import Record
from penstock.core.rerun import rerun
from penstock.core.rows import AttemptRow, CursorRow, DeadLetter, Row, RunRow
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
    StepRun,
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
from penstock.workflows.rows import Waiting, attempt_row, dead_letter, first_run, run_row

ASKED_RECORDS = 100_000
"""How far behind a request for a run its event may still come."""
ASKED = "asked"
"""Name of the cursor that remembers it."""
ENDED_LATELY_MAX = 4096
"""Ended runs remembered, in case their event comes again."""
NEWER = "the file was written anew; the newer content has its own run"
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

    def succeeded(self, run: Run, event: Event) -> None:
        """A run for ``event`` succeeded; what its workflow failed at before, on older content, is settled."""


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
        self.backlog: OrderedDict[str, Waiting] = OrderedDict()
        self._latest: dict[tuple[str, str], str] = {}
        self._asked_until = 0
        self._ended_lately: OrderedDict[str, None] = OrderedDict()
        self._dirty: dict[str, Active] = {}
        self.replaying = False
        self._is_behind = False
        self._is_filling = False
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
        if run.id in self.active or run.id in self.backlog or self._was_had(run.id, record.offset):
            return run.id
        if record.event.type in NEW_CONTENT:
            self._supersede(trigger, run.subject, run.id)
        if self._has_room():
            self._begin(run, record.event)
        else:
            self._store.put(run_row(run))
            self.backlog[run.id] = Waiting(run.id, record.offset, trigger, at_ns)
        return run.id

    def _was_had(self, run_id: str, offset: int) -> bool:
        """Whether this run was had before: its event came twice, or a listing of what exists told of it.

        State is asked only behind such a listing, for that stands between an event and its function.
        """
        if run_id in self._ended_lately:
            return True
        return offset < self._asked_until and self._store.get(RunRow, run_id) is not None

    def _supersede(self, trigger: Trigger, subject: str, run_id: str) -> None:
        """Newer content of a file ends the run that works on, or waits for, what it replaces."""
        older = self._latest.get((trigger.id, subject))
        self._latest[trigger.id, subject] = run_id
        if older is not None and older != run_id:
            request = CancelRequest(run=older, reason=NEWER, principal="penstock")
            self._emit(lifecycle.supersede_event(request))

    def _begin(self, run: Run, event: Event, params: Raw | None = None) -> None:
        try:
            workflow = self._registry.workflow(run.tenant, run.workflow)
        except NotFound as error:
            self._lost(run, event, str(error))
            return
        active = self.active[run.id] = Active(run, workflow, event, params)
        self._advance(active, Start(), run.started_ns)  # first, so that the function starts without delay
        self._emit(lifecycle.run_event(lifecycle.RUN_STARTED, run))

    def _lost(self, run: Run, event: Event | None, error: str) -> None:
        """Fail a run that can neither begin nor go on."""
        run.phase, run.error, run.ended_ns = Phase.FAILED, error, run.started_ns
        self._is_past(run)
        self._store.put(run_row(run))
        self._letters.put(dead_letter(run, event, run.started_ns))
        self._emit(lifecycle.run_event(lifecycle.RUN_FAILED, run))

    def _step_succeeded(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        active = self.active.get(end.run)
        if active is None:
            self._too_late(end)
            return
        if not self._attempt_ended(active, end, Phase.SUCCEEDED):
            return
        active.add_outputs(end.step, end.outputs)
        self._advance(active, Succeeded(end.step, end.attempt, end.result, end.item), record.appended_ns)

    def _step_failed(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        active = self.active.get(end.run)
        if active is None:
            self._too_late(end)
            return
        if not self._attempt_ended(active, end, JobState.EVICTED if end.evicted else Phase.FAILED):
            return
        fact = StepFailed(end.step, end.attempt, end.error, end.retryable, end.item, end.evicted)
        self._advance(active, fact, record.appended_ns)

    def _attempt_ended(self, active: Active, end: StepEnd, phase: Phase | JobState) -> bool:
        if end.step not in active.steps:
            return False
        self._noted.strike(end.run, end.step, end.item, end.attempt)
        self._store.put(attempt_row(end, active.run.tenant, phase))
        return True

    def _too_late(self, end: StepEnd) -> None:
        """The run has ended without this attempt (it was cancelled): let its row end, too."""
        row = self._store.get(AttemptRow, end.run, end.step, end.item, end.attempt)
        if row is not None and row.ended_ns == 0:
            self._store.put(attempt_row(end, row.tenant, Phase.CANCELLED))

    def _step_due(self, record: Record) -> None:
        due = data_of(record.event, StepDue)
        self._noted.strike(due.run, due.step, due.item, -due.attempt)
        active = self.active.get(due.run)
        if active is not None:
            self._advance(active, RetryDue(due.step, due.attempt, due.item), record.appended_ns)

    def _cancel_requested(self, record: Record) -> None:
        request = data_of(record.event, CancelRequest)
        if request.run not in self.active:
            self.backlog.pop(request.run, None)
            self._take_stored(request.run)
        active = self.active.get(request.run)
        if active is not None:
            self._advance(active, Cancel(request.reason), record.appended_ns)

    def _requested(self, record: Record) -> None:
        request = data_of(record.event, RunRequest)
        event = decode(request.event)
        key = request.trigger or record.event.id
        run_id = lifecycle.run_id(request.tenant, key, event, request.generation)
        if run_id in self.active or self._store.get(RunRow, run_id) is not None:
            return
        if request.trigger and not request.generation:
            self._asked_until = record.offset + ASKED_RECORDS
            self._store.put(CursorRow(ASKED, 0, self._asked_until))
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
        elif self._has_room():
            self._begin(run, event, request.params)
        else:
            self._store.put(run_row(run))
            self.backlog[run_id] = Waiting(run_id, record.offset, None, 0)

    def _rerun(self, run: Run, request: RunRequest, event: Event) -> None:
        steps = frozenset({request.from_step}) if request.from_step else None
        try:
            row = self._store.get(RunRow, request.rerun_of)
            if row is None:
                raise NotFound(f"run {request.rerun_of} is not kept any more; start a run for its event anew")
            old = restore(row.snapshot)
            workflow = self._registry.workflow(run.tenant, old.workflow)
            fresh = rerun(workflow, old, run.id, run.generation, steps)
        except Refused as error:
            self._lost(run, event, str(error))
            return
        # Its wish is on the log, with the event in it: there it finds both after a restart.
        fresh.started_ns, fresh.ended_ns, fresh.offset = run.started_ns, 0, run.offset
        active = self.active[run.id] = Active(fresh, workflow, event, request.params)
        self._take_outputs(active)
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
        self._is_past(run)
        if end.phase is Phase.FAILED:
            self._letters.put(dead_letter(run, active.event, at_ns))
        elif end.phase is Phase.SUCCEEDED:
            self._letters.succeeded(run, active.event)
        self._emit(lifecycle.run_event(lifecycle.ENDED_TYPE[end.phase], run))
        self.fill()

    def _is_past(self, run: Run) -> None:
        """Newer content has nothing to end any more, and its event shall not start it again."""
        if self._latest.get((run.trigger, run.subject)) == run.id:
            del self._latest[run.trigger, run.subject]
        self._ended_lately[run.id] = None
        if len(self._ended_lately) > ENDED_LATELY_MAX:
            self._ended_lately.popitem(last=False)

    def _emit(self, event: Event) -> None:
        if self._is_behind:
            self._noted.events[event.id] = event
        else:
            self._emit_now(event)

    # -- waiting runs ------------------------------------------------------------------------

    def fill(self) -> None:
        """Begin waiting runs while there is room; when the log is folded again, too, for they began then."""
        if self._is_filling:
            return  # one ended as soon as it had begun; the loop below goes on
        self._is_filling = True
        while self.backlog and len(self.active) < self.capacity:
            self._promote(self.backlog.popitem(last=False)[1])
        self._is_filling = False

    def _has_room(self) -> bool:
        return len(self.active) < self.capacity and not self.backlog

    def _promote(self, waiting: Waiting) -> None:
        if waiting.trigger is not None:
            try:
                event = self._read_event(waiting.offset)
            except Trimmed as error:
                row = self._store.get(RunRow, waiting.run)
                self._lost(restore(row.snapshot), None, f"it cannot begin: {error}")
                return
            self._begin(first_run(waiting.trigger, event, waiting.offset, waiting.at_ns), event)
        else:
            active = self._take_stored(waiting.run)
            if active is not None:
                self._advance(active, Start(), active.run.started_ns)
                self._emit(lifecycle.run_event(lifecycle.RUN_STARTED, active.run))

    def _take_stored(self, run_id: str) -> Active | None:
        """Make a waiting run active, without beginning it."""
        row = self._store.get(RunRow, run_id)
        if row is None or row.phase != Phase.WAITING or run_id in self.active:
            return None
        return self._take(restore(row.snapshot))

    def _take(self, run: Run) -> Active | None:
        event = None
        try:
            event, params = self.event_of(run)
            workflow = self._registry.workflow(run.tenant, run.workflow)
        except PenstockError as error:
            self._lost(run, event, f"it cannot go on: {error}")
            return None
        active = self.active[run.id] = Active(run, workflow, event, params)
        return active

    def event_of(self, run: Run) -> tuple[Event, Raw | None]:
        """Return the event that a run started from, and what a person gave with it."""
        event = self._read_event(run.offset)
        if event.type != lifecycle.RUN_REQUESTED:
            return event, None
        request = data_of(event, RunRequest)
        return decode(request.event), request.params

    # -- restart -----------------------------------------------------------------------------

    def load(self) -> None:
        """Take over the runs that had not ended; commands are noted until ``resume``."""
        self.replaying = self._is_behind = self._is_filling = True
        for phase in LIVE:
            for row in self._store.select(RunRow, phase=phase):
                self._load(row)
        asked = self._store.get(CursorRow, ASKED, 0)
        self._asked_until = asked.offset if asked is not None else 0
        waiting = sorted(self.backlog.values(), key=lambda each: each.offset)
        self.backlog = OrderedDict((each.run, each) for each in waiting)
        self._is_filling = False

    def _load(self, row: RunRow) -> None:
        run = restore(row.snapshot)
        if run.phase is Phase.WAITING and not run.steps:
            self.backlog[run.id] = Waiting(run.id, run.offset, None, 0)
            return
        active = self._take(run)
        if active is None:
            return
        if active.event.type in NEW_CONTENT:
            self._latest[run.trigger, run.subject] = run.id
        self._take_outputs(active)
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
        ended = row.phase in (Phase.SUCCEEDED, Phase.FAILED, JobState.EVICTED)
        if not ended or not self._noted.strike(row.run, row.step, row.item, row.attempt):
            return False
        fact: Fact = Succeeded(row.step, row.attempt, Raw(row.result), row.item)
        if row.phase != Phase.SUCCEEDED:
            evicted = row.phase == JobState.EVICTED
            fact = StepFailed(row.step, row.attempt, row.error, True, row.item, evicted)
        self._advance(active, fact, row.ended_ns)
        return True

    def _take_outputs(self, active: Active) -> None:
        """Tell a run what it has published, and what the runs published whose good steps it keeps."""
        found: dict[tuple[str, int], tuple[str, ...]] = {}
        for run_id in self._ancestry(active.run):
            for row in self._store.select(AttemptRow, run=run_id):
                kept = active.run.steps.get(row.step)
                if kept is None or row.phase != Phase.SUCCEEDED:
                    continue
                if run_id == active.run.id or _keeps(kept, row.item):
                    found.setdefault((row.step, row.item), tuple(msgspec.json.decode(row.outputs)))
        for (step, _), outputs in sorted(found.items()):
            active.add_outputs(step, outputs)

    def _ancestry(self, run: Run) -> Iterator[str]:
        """Yield the ids of a run, of the run that it repeats, of the one that that one repeats ..."""
        yield run.id
        try:
            event = self._read_event(run.offset)
        except PenstockError:
            return  # retention has removed the wish
        if event.type == lifecycle.RUN_REQUESTED:
            row = self._store.get(RunRow, data_of(event, RunRequest).rerun_of)
            if row is not None:
                yield from self._ancestry(restore(row.snapshot))

    def is_unanswered(self, run: str, step: str, item: int, attempt: int) -> bool:
        """Whether the log, as far as it was folded, holds no end of this attempt."""
        return (run, step, item, attempt) in self._noted.commands

    def unanswered_jobs(self) -> list[str]:
        """Return the keys of batch jobs whose end the log, as far as it was folded, does not hold."""
        return [
            f"{run}/{step}/{item}/{attempt}"
            for run, step, item, attempt in self._noted.commands
            if attempt > 0 and run in self.active and self.active[run].steps[step].batch is not None
        ]

    def caught_up(self) -> None:
        """The log was read to its end: what was raised and is not there goes there now, for a commit may
        come at any time, and with it nothing would raise it again."""
        self._is_behind = False
        events, self._noted.events = self._noted.events, {}
        for event in events.values():
            self._emit_now(event)

    def resume(self, answered: frozenset[tuple[str, str, int, int]] = frozenset()) -> None:
        """Carry out what was noted and not answered; ``answered`` attempts have answers on their way."""
        if self._is_behind:
            self.caught_up()
        self.replaying = False
        noted, self._noted = self._noted, Noted()
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


def _keeps(step: StepRun, item: int) -> bool:
    """Whether a run keeps what a step, or an item of it, did in a run before it."""
    if step.items is None:
        return step.phase is Phase.SUCCEEDED
    return item < len(step.items.states) and step.items.states[item] == SUCCEEDED
