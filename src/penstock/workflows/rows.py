"""Runs as rows of state, and before they begin."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from penstock.core import lifecycle
from penstock.core.event import Event, encode
from penstock.core.job import JobState
from penstock.core.lifecycle import StepEnd
from penstock.core.rows import AttemptRow, DeadLetter, DeadLetterKind, RunRow, TimerRow
from penstock.core.run import Phase, Run
from penstock.core.snapshot import snapshot
from penstock.core.workflow import Trigger

NEVER_NS = -1
"""Deadline of a try that there will not be."""
_json = msgspec.json.Encoder()


class Waiting(NamedTuple):
    """A run that has its row in state and no place yet; its event stays in the log.

    Attributes:
        run: Its id.
        offset: Of its event.
        trigger: What started it; None if only its row tells.
        at_ns: When.
    """

    run: str
    offset: int
    trigger: Trigger | None
    at_ns: int


def first_run(trigger: Trigger, event: Event, offset: int, at_ns: int) -> Run:
    """Return the run that a trigger starts for an event, not begun."""
    return Run(
        id=lifecycle.run_id(trigger.tenant, trigger.id, event, 0),
        tenant=trigger.tenant,
        principal=trigger.principal,
        workflow=trigger.workflow,
        trigger=trigger.id,
        event_id=event.id,
        offset=offset,
        subject=event.subject or "",
        depth=event.depth or 0,
        started_ns=at_ns,
    )


def run_row(run: Run) -> RunRow:
    """Return a run's row as it stands."""
    return RunRow(
        id=run.id,
        tenant=run.tenant,
        workflow=run.workflow,
        trigger=run.trigger,
        event_id=run.event_id,
        subject=run.subject,
        phase=run.phase,
        started_ns=run.started_ns,
        ended_ns=run.ended_ns,
        error=run.error or "",
        snapshot=snapshot(run),
    )


def dead_letter(run: Run, event: Event | None, at_ns: int) -> DeadLetter:
    """Return the dead letter of a failed run; its event is None if it can be read no more."""
    return DeadLetter(
        id=run.id,
        tenant=run.tenant,
        kind=DeadLetterKind.STEP,
        subject=run.subject,
        reason=run.error or "failed",
        body=encode(event) if event is not None else b"{}",
        run=run.id,
        at_ns=at_ns,
    )


def attempt_row(end: StepEnd, tenant: str, phase: Phase | JobState) -> AttemptRow:
    """Return the row of an attempt that has ended."""
    return AttemptRow(
        run=end.run,
        step=end.step,
        item=end.item,
        attempt=end.attempt,
        tenant=tenant,
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


def try_key(run: str, step: str, item: int, attempt: int) -> str:
    """Return the id of the timer that a try waits for."""
    return f"{run}/{step}/{item}/{attempt}"


def no_further_try(end: StepEnd) -> TimerRow:
    """Return the row which says that another try of a failed item cannot help.

    The state of a long map is in its attempts' rows until the next snapshot, and those do not tell.
    """
    key = try_key(end.run, end.step, end.item, end.attempt + 1)
    return TimerRow(id=key, run=end.run, due_ns=NEVER_NS, fact=b"", done=True)
