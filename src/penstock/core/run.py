"""The state machine of a run: facts in, commands out. No clock, no chance, no I/O.

Rules, in words:

- A step starts when its predecessors let it (``Step.join``) and its condition holds. A condition
  that does not hold skips the step; a step all of whose predecessors were skipped is skipped.
- A failed try that may be repeated (``Failed.retryable``) and has tries left waits and is called
  again with the next attempt number; else the step fails. A failed step fails the run once nothing
  is in flight any more; steps that do not depend on it still run. A step with ``join: ended`` runs
  even then, and the run still ends failed.
- A map calls ``window`` items at a time in the order of its list, keeps their results in that
  order, and succeeds when at most ``tolerate`` of them failed; else it stops launching and fails.
- Facts about an attempt that is not the current one, or about a step that has ended, change
  nothing: they come from duplicates, redeliveries and zombies.
- ``Cancel`` stops everything in flight and ends the run as cancelled.

| phase     | may become                                   |
|-----------|----------------------------------------------|
| waiting   | running, skipped, cancelled                  |
| running   | retrying, succeeded, failed, cancelled       |
| retrying  | running, cancelled                           |
| succeeded, failed, skipped, cancelled | (nothing: ended) |
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Raw, Struct

from penstock.core.workflow import Workflow


class Phase(StrEnum):
    """Where a run or a step is; see the table above."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Start(Struct, frozen=True):
    """The run begins."""


class Succeeded(Struct, frozen=True):
    """One attempt of a step (or of one item of a map) ended well."""

    step: str
    attempt: int
    result: Raw
    item: int = -1


class StepFailed(Struct, frozen=True):
    """One attempt ended badly; ``retryable`` tells whether another try may help."""

    step: str
    attempt: int
    error: str
    retryable: bool = True
    item: int = -1


class RetryDue(Struct, frozen=True):
    """The wait before ``attempt`` is over."""

    step: str
    attempt: int
    item: int = -1


class Cancel(Struct, frozen=True):
    """A person wants it stopped."""

    reason: str


Fact = Start | Succeeded | StepFailed | RetryDue | Cancel


class Call(Struct, frozen=True):
    """Call the step's function (or submit its job)."""

    step: str
    attempt: int
    item: int = -1


class Wait(Struct, frozen=True):
    """Wait before ``attempt``, then send ``RetryDue``; ``failed_attempts`` have failed so far."""

    step: str
    attempt: int
    failed_attempts: int
    item: int = -1


class Stop(Struct, frozen=True):
    """End this attempt; its outcome is no longer wanted."""

    step: str
    attempt: int
    item: int = -1


class End(Struct, frozen=True):
    """The run has ended in ``phase``."""

    phase: Phase
    error: str | None = None


Command = Call | Wait | Stop | End


class StepRun(Struct, omit_defaults=True):
    """What is known of one step of a run.

    Attributes:
        phase: Where it is.
        attempt: Number of the current or last try, from 1; 0 before the first.
        result: The JSON answer; for a map its ordered list.
        error: Why it failed.
        items: State of a map, see ``core.items``; None for a single call.
    """

    phase: Phase = Phase.WAITING
    attempt: int = 0
    result: Raw | None = None
    error: str | None = None
    items: dict[str, object] | None = None


class Run(Struct, omit_defaults=True, kw_only=True):
    """One execution of a workflow. Owned and changed by ``advance`` alone.

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
        phase: Where it is.
        steps: By name.
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
    error: str | None = None
    started_ns: int = 0
    ended_ns: int = 0


def advance(workflow: Workflow, run: Run, fact: Fact) -> list[Command]:
    """Let ``fact`` change ``run`` and return what must be done now, in order.

    Deterministic: the same facts in the same order give the same run and commands.

    Args:
        workflow: The version that the run pinned.
        run: Changed in place.
        fact: What happened. Stale or repeated facts change nothing and return [].
    """
    raise NotImplementedError
