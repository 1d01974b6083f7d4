"""What the state machine of a run is told (facts) and what it asks for (commands).

Facts are tagged, so that a timer's row or an event can hold one as JSON: decode with the type ``Fact``.
Numbers: attempts count from 1, items of a map from 0; ``item`` is -1 where the step is no map.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Raw, Struct


class Phase(StrEnum):
    """Where a run or a step is; the table in ``core.run`` says what may follow what."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


WAITING, RUNNING, RETRYING, SUCCEEDED, FAILED, SKIPPED, CANCELLED = Phase
# For the hot path: in Python 3.11 reading ``Phase.RUNNING`` takes ten times as long as reading a name.

ENDED = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED})
"""Phases that nothing follows."""


class Start(Struct, frozen=True, tag="start"):
    """The run begins."""


class Succeeded(Struct, frozen=True, tag="succeeded"):
    """One attempt of a step (or of one item of a map) ended well."""

    step: str
    attempt: int
    result: Raw
    item: int = -1


class StepFailed(Struct, frozen=True, tag="failed"):
    """One attempt ended badly; ``retryable`` tells whether another try may help.

    ``evicted``: it was ended from outside (its process killed, its node taken), not by what it did.
    """

    step: str
    attempt: int
    error: str
    retryable: bool = True
    item: int = -1
    evicted: bool = False


class RetryDue(Struct, frozen=True, tag="retry-due"):
    """The wait before ``attempt`` is over."""

    step: str
    attempt: int
    item: int = -1


class Cancel(Struct, frozen=True, tag="cancel"):
    """A person wants it stopped."""

    reason: str


Fact = Start | Succeeded | StepFailed | RetryDue | Cancel


class Call(Struct, frozen=True):
    """Call the step's function (or submit its job)."""

    step: str
    attempt: int
    item: int = -1


class Wait(Struct, frozen=True):
    """Wait before ``attempt``, then send ``RetryDue``; ``failed_attempts`` have failed so far.

    ``evictions``: how often it was evicted, if that is why it is tried again; else 0.
    """

    step: str
    attempt: int
    failed_attempts: int
    item: int = -1
    evictions: int = 0


class Stop(Struct, frozen=True):
    """End this attempt, which is in flight; its outcome is no longer wanted."""

    step: str
    attempt: int
    item: int = -1


class End(Struct, frozen=True):
    """The run has ended in ``phase``."""

    phase: Phase
    error: str | None = None


Command = Call | Wait | Stop | End
