"""Keeps the runs: folds the log's records into them.

Everything that changes a run is a record of the log. What a run is and how it moves is in
``workflows.runs``, how runs go on after a crash in ``workflows.restart``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.core import lifecycle
from penstock.core.errors import NotFound, Refused
from penstock.core.event import NEW_CONTENT, Event, decode
from penstock.core.job import JobState
from penstock.core.lifecycle import CancelRequest, RunRequest, StepDue, StepEnd, data_of
from penstock.core.ports import Record
from penstock.core.rerun import rerun
from penstock.core.rows import AttemptRow, CursorRow, RunRow
from penstock.core.run import Cancel, Phase, RetryDue, Run, Start, StepFailed, Succeeded
from penstock.core.snapshot import restore
from penstock.core.workflow import Trigger
from penstock.workflows.active import Active
from penstock.workflows.restart import Restart
from penstock.workflows.rows import Waiting, attempt_row, first_run, no_further_try, run_row

ASKED_RECORDS = 100_000
"""How far behind a request for a run its event may still come."""
ASKED = "asked"
"""Name of the cursor that remembers it."""
NEWER = "the file was written anew; the newer content has its own run"


class Keeper(Restart):
    """Lets each record of the log change the runs that it is about (see ``workflows.runs.Runs``)."""

    _asked_until = 0

    def load(self) -> None:
        """Take over the runs that had not ended; commands are noted until ``resume``."""
        asked = self._store.get(CursorRow, ASKED, 0)
        self._asked_until = asked.offset if asked is not None else 0
        super().load()

    def fold(self, record: Record) -> None:
        """Let one record change the runs it is about."""
        if self.replaying:
            self._noted.events.pop(record.event.id, None)
        handler = _FOLDS.get(record.event.type)
        if handler is not None:
            handler(self, record)

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

    def _step_succeeded(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        active = self._active_of(end)
        if active is None:
            return
        active.add_outputs(end.step, end.outputs)
        # Before the row: the next function shall start without delay.
        self._advance(active, Succeeded(end.step, end.attempt, end.result, end.item), record.appended_ns)
        self._store.put(attempt_row(end, active.run.tenant, Phase.SUCCEEDED))

    def _step_failed(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        active = self._active_of(end)
        if active is None:
            return
        fact = StepFailed(end.step, end.attempt, end.error, end.retryable, end.item, end.evicted)
        self._advance(active, fact, record.appended_ns)
        phase = JobState.EVICTED if end.evicted else Phase.FAILED
        self._store.put(attempt_row(end, active.run.tenant, phase))
        if end.item >= 0 and not end.retryable:
            self._store.put(no_further_try(end))

    def _active_of(self, end: StepEnd) -> Active | None:
        """Return the run that an attempt's end is about, unless that has ended or has no such step."""
        active = self.active.get(end.run)
        if active is None:
            self._too_late(end)
        elif end.step in active.steps:
            self._noted.strike(end.run, end.step, end.item, end.attempt)
            return active
        return None

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


_FOLDS: Mapping[str, Callable[[Keeper, Record], None]] = {
    lifecycle.STEP_SUCCEEDED: Keeper._step_succeeded,
    lifecycle.STEP_FAILED: Keeper._step_failed,
    lifecycle.STEP_DUE: Keeper._step_due,
    lifecycle.RUN_REQUESTED: Keeper._requested,
    lifecycle.RUN_CANCEL_REQUESTED: Keeper._cancel_requested,
}
