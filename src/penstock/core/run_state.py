"""What is known of a run and its steps. ``core.run`` changes it, ``core.snapshot`` stores it."""

from __future__ import annotations

from msgspec import Raw, Struct

from penstock.core.facts import Phase
from penstock.core.items import Items


class StepRun(Struct, omit_defaults=True):
    """What is known of one step of a run.

    Attributes:
        phase: Where it is.
        attempt: Number of the current or last try, from 1; 0 before the first. For a map 1 from its start on.
        result: The JSON answer; for a map its ordered list.
        error: Why it failed, was skipped behind a failure, or (of a map that succeeded) which items failed.
        items: State of a map from its start until it succeeds; None for a single call.
        pending: Steps directly before it that have not ended.
        blocked_by: The failed step because of which it was skipped; empty otherwise.
        evictions: Tries that were ended from outside; see ``core.retry``. For a map ``items`` counts them.
    """

    phase: Phase = Phase.WAITING
    attempt: int = 0
    result: Raw | None = None
    error: str | None = None
    items: Items | None = None
    pending: int = 0
    blocked_by: str = ""
    evictions: int = 0


class Run(Struct, omit_defaults=True, kw_only=True):
    """One execution of a workflow. Owned and changed by ``advance`` alone, the two times excepted.

    Attributes:
        id: hash(tenant, trigger, event, generation).
        tenant: On whose behalf.
        principal: Who deployed the trigger, or started it by hand.
        workflow: ``namespace/name@version``, pinned.
        trigger: Id of the trigger; empty for a manual start.
        event_id: The event that started it.
        offset: Where that event is in the log.
        subject: That event's subject.
        generation: 0 at delivery, raised by a person's replay.
        depth: Causes behind it.
        phase: Where it is: waiting, running, succeeded, failed or cancelled.
        steps: By name; filled by ``Start``.
        open: Steps that have not ended.
        error: Why it failed.
        started_ns: POSIX time in nanoseconds.
        ended_ns: The same; 0 while it runs.
    """

    id: str
    tenant: str
    principal: str
    workflow: str
    trigger: str
    event_id: str
    offset: int
    subject: str
    generation: int = 0
    depth: int = 0
    phase: Phase = Phase.WAITING
    steps: dict[str, StepRun] = {}
    open: int = 0
    error: str | None = None
    started_ns: int = 0
    ended_ns: int = 0
