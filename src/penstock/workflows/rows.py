"""Runs as rows of state, and before they begin."""

from __future__ import annotations

from typing import NamedTuple

from penstock.core import lifecycle
from penstock.core.event import Event, encode
from penstock.core.rows import DeadLetter, DeadLetterKind, RunRow
from penstock.core.run import Run
from penstock.core.snapshot import snapshot
from penstock.core.workflow import Trigger


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
        id=lifecycle.run_id(trigger.tenant, trigger.id, event.id, 0),
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


def dead_letter(run: Run, event: Event, at_ns: int) -> DeadLetter:
    """Return the dead letter of a failed run."""
    return DeadLetter(
        id=run.id,
        tenant=run.tenant,
        kind=DeadLetterKind.STEP,
        subject=run.subject,
        reason=run.error or "failed",
        body=encode(event),
        run=run.id,
        at_ns=at_ns,
    )
