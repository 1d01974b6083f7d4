"""Events that Penstock raises about its own work: runs, steps, definitions.

Everything that changes a run enters by the log as one of these, so that a run is a fold over the log
and can be derived again. Ids are derived from what they tell of: told twice, they are one event.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import Event, digest, json_data
from penstock.core.run import Phase, Run

SOURCE = "/penstock"
OWN_SOURCES = (SOURCE, "/storages/", "/manual")
"""Sources that nobody outside may speak for; their events' ids are unlike any other's."""
RUN_STARTED = "penstock.run.started"
RUN_SUCCEEDED = "penstock.run.succeeded"
RUN_FAILED = "penstock.run.failed"
RUN_CANCELLED = "penstock.run.cancelled"
RUN_REQUESTED = "penstock.run.requested"
RUN_CANCEL_REQUESTED = "penstock.run.cancel-requested"
STEP_SUCCEEDED = "penstock.step.succeeded"
STEP_FAILED = "penstock.step.failed"
STEP_DUE = "penstock.step.due"
JOB_SUBMITTED = "penstock.job.submitted"
JOB_STARTED = "penstock.job.started"
JOB_EVICTED = "penstock.job.evicted"
JOB_FINISHED = "penstock.job.finished"
DEPLOYED = "penstock.definition.deployed"
TRIGGER_CHANGED = "penstock.trigger.changed"
TRIGGER_REMOVED = "penstock.trigger.removed"
DEAD_LETTER_CLOSED = "penstock.dead-letter.closed"

ENDED_TYPE = {
    Phase.SUCCEEDED: RUN_SUCCEEDED,
    Phase.FAILED: RUN_FAILED,
    Phase.CANCELLED: RUN_CANCELLED,
}


class StepEnd(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data of ``step.succeeded`` and ``step.failed``: how one attempt ended.

    Attributes:
        run: Id of the run.
        step: Its name.
        attempt: From 1.
        item: Place in the list, in a map; else -1.
        function: ``namespace/name@version``.
        result: The JSON object answered.
        error: What went wrong.
        retryable: Whether another try may help.
        evicted: Whether it was ended from outside, not by what it did; see ``core.retry``.
        outputs: Published paths, as text.
        log: ``file:start:end``.
        place: Where it ran: ``pool`` or the job's name.
        started_ns: POSIX nanoseconds.
        ended_ns: The same.
    """

    run: str
    step: str
    attempt: int
    item: int = -1
    function: str = ""
    result: Raw = Raw(b"null")
    error: str = ""
    retryable: bool = True
    evicted: bool = False
    outputs: tuple[str, ...] = ()
    log: str = ""
    place: str = ""
    started_ns: int = 0
    ended_ns: int = 0


class StepDue(Struct, frozen=True, kw_only=True):
    """Data of ``step.due``: the wait before ``attempt`` is over."""

    run: str
    step: str
    attempt: int
    item: int = -1


class JobMove(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data of ``job.submitted|started|evicted|finished``: where a batch job is.

    Attributes:
        job: Its name: ``run/step/item/attempt``.
        run: Id of the run.
        step: The step's name.
        attempt: From 1.
        system: Name of the batch system.
        state: As in ``core.job.JobState``.
        error: Why it failed or was evicted.
    """

    job: str
    run: str
    step: str
    attempt: int
    system: str
    state: str
    error: str = ""


class RunEnd(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data of ``run.started|succeeded|failed|cancelled``."""

    run: str
    workflow: str
    trigger: str
    event: str
    subject: str
    phase: str
    error: str = ""


class RunRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data of ``run.requested``: a person, a backfill or a replay wants a run.

    Attributes:
        tenant: On whose behalf.
        principal: Who asks.
        workflow: ``namespace/name@version``.
        trigger: Id of the trigger whose work this is; empty for a manual start.
        event: The CloudEvent to start from, as JSON.
        generation: 0 to start it unless it has run before; higher for a replay.
        rerun_of: Id of an earlier run whose good steps are kept.
        from_step: Where to begin again; empty means at what failed.
        params: What a person gave.
    """

    tenant: str
    principal: str
    workflow: str
    event: Raw
    trigger: str = ""
    generation: int = 0
    rerun_of: str = ""
    from_step: str = ""
    params: Raw = Raw(b"{}")


class CancelRequest(Struct, frozen=True, kw_only=True):
    """Data of ``run.cancel-requested``."""

    run: str
    reason: str
    principal: str


class Deployed(Struct, frozen=True, kw_only=True):
    """Data of ``definition.deployed``: what a deployment added, whole and at once."""

    tenant: str
    principal: str
    functions: list[dict[str, Any]]
    workflows: list[dict[str, Any]]
    triggers: list[dict[str, Any]]


class TriggerChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data of ``trigger.changed|removed``.

    Attributes:
        tenant: Who owns it.
        principal: Who changed it.
        id: The trigger.
        paused: New state, if it changes.
        catch_up: On resuming, whether what came meanwhile is run.
        workflow: New version, if it changes (a rollback).
        filter: New filter, if it changes (a rollback restores the former one).
    """

    tenant: str
    principal: str
    id: str
    paused: bool | None = None
    catch_up: bool = True
    workflow: str = ""
    filter: dict[str, Any] | None = None


class DeadLetterClose(Struct, frozen=True, kw_only=True):
    """Data of ``dead-letter.closed``: it was replayed or dropped."""

    tenant: str
    principal: str
    id: str
    state: str


def step_event(kind: str, end: StepEnd | StepDue, depth: int, cause: str) -> Event:
    """Return the event that tells of one attempt's end (or of its being due)."""
    key = digest(kind.encode(), end.run.encode(), end.step.encode(), f"{end.item}/{end.attempt}".encode())
    return Event(
        id=key,
        source=SOURCE,
        type=kind,
        subject=end.run,
        partitionkey=end.run,
        data=json_data(end),
        cause=cause,
        depth=depth,
    )


def job_event(kind: str, move: JobMove, depth: int) -> Event:
    """Return the event that tells where a batch job is."""
    return Event(
        id=digest(kind.encode(), move.job.encode()),
        source=SOURCE,
        type=kind,
        subject=move.run,
        partitionkey=move.run,
        data=json_data(move),
        cause=move.run,
        depth=depth,
    )


def run_event(kind: str, run: Run) -> Event:
    """Return the event that tells of a run's start or end."""
    data = RunEnd(
        run=run.id,
        workflow=run.workflow,
        trigger=run.trigger,
        event=run.event_id,
        subject=run.subject,
        phase=run.phase,
        error=run.error or "",
    )
    return Event(
        id=digest(kind.encode(), run.id.encode()),
        source=SOURCE,
        type=kind,
        subject=run.id,
        partitionkey=run.id,
        data=json_data(data),
        cause=run.id,
        depth=run.depth + 1,
    )


def request_event(kind: str, data: Struct, nonce: str, subject: str) -> Event:
    """Return the event that carries a person's or a backfill's wish; ``nonce`` makes it unique."""
    return Event(
        id=digest(kind.encode(), nonce.encode()),
        source=SOURCE,
        type=kind,
        subject=subject or None,
        partitionkey=subject or None,
        data=json_data(data),
    )


def supersede_event(request: CancelRequest) -> Event:
    """Return the one event that ends a run because of newer content, whoever notices first."""
    return request_event(RUN_CANCEL_REQUESTED, request, f"{request.run}/superseded", request.run)


def identity(event: Event) -> str:
    """Return what no two events share: an outsider's id is unique among those of its source only."""
    return event.id if event.source.startswith(OWN_SOURCES) else f"{event.source} {event.id}"


def run_id(tenant: str, trigger: str, event: Event, generation: int) -> str:
    """Return the id of the run that a trigger starts for an event."""
    return digest(tenant.encode(), trigger.encode(), identity(event).encode(), str(generation).encode())


S = TypeVar("S", bound=Struct)
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {}


def data_of(event: Event, kind: type[S]) -> S:
    """Return the event's data as ``kind``.

    Raises:
        Invalid: They are something else.
    """
    decoder = _decoders.get(kind) or _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        return decoder.decode(event.data)  # type: ignore[arg-type,no-any-return]
    except (msgspec.MsgspecError, TypeError) as error:
        raise Invalid(f"event {event.id!r} ({event.type}): data is no {kind.__name__}: {error}") from error
