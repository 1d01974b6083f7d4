"""Batch jobs: what every batch system is told, and what it tells back.

| JobState  | HTCondor          | Slurm                          | local      |
|-----------|-------------------|--------------------------------|------------|
| QUEUED    | Idle (1)          | PENDING                        | waiting    |
| RUNNING   | Running (2)       | RUNNING, COMPLETING            | started    |
| HELD      | Held (5)          | PENDING with a hold, SUSPENDED | -          |
| SUCCEEDED | Completed (4), 0  | COMPLETED                      | exit 0     |
| FAILED    | Completed, not 0  | FAILED, TIMEOUT, OUT_OF_MEMORY | other exit |
| EVICTED   | Evicted, to Idle  | PREEMPTED, NODE_FAIL           | killed     |
| CANCELLED | Removed (3)       | CANCELLED                      | cancelled  |
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class JobState(StrEnum):
    """Where a job is; see the table above for each system's own word."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EVICTED = "evicted"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.EVICTED, JobState.CANCELLED})


class Job(Struct, frozen=True, kw_only=True):
    """What is submitted.

    Attributes:
        name: Derived from run, step, item and attempt; submitting a name twice makes one job.
        tenant: On whose behalf.
        argv: Program and arguments.
        payload: JSON bytes that the job's wrapper hands to the function.
        folder: The job's own folder; its scratch lies in it.
        log: File that receives its standard output and error.
        cores: Cores wanted.
        memory_bytes: Memory wanted.
        walltime_s: Longest running time, in seconds.
    """

    name: str
    tenant: str
    argv: tuple[str, ...]
    payload: bytes
    folder: str
    log: str
    cores: int = 1
    memory_bytes: int = 1 << 30
    walltime_s: float = 3600.0


class JobNotice(Struct, frozen=True, kw_only=True):
    """What a batch system says of a job, pushed as it happens.

    Attributes:
        name: The job's name.
        state: Its new state.
        result: The function's answer (JSON bytes), once it succeeded.
        error: What went wrong, for people.
        exit_code: Of the job's process; negative is a signal.
        retryable: Whether another try may help.
        scratch: Folder with what it wrote.
        files: Names of the files in ``scratch``; None if there are none.
        log: ``file:start:end`` of what it printed.
        started_ns: POSIX time at which the function began.
        ended_ns: POSIX time at which it ended.
    """

    name: str
    state: JobState
    result: bytes | None = None
    error: str | None = None
    exit_code: int | None = None
    retryable: bool = True
    scratch: str = ""
    files: tuple[str, ...] | None = None
    log: str = ""
    started_ns: int = 0
    ended_ns: int = 0
