"""What an operator may set about the local queue."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _cores() -> int:
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 8 // 10


@dataclass(frozen=True, kw_only=True)
class LocalQueueSettings:
    """Limits of the local queue.

    Attributes:
        folder: Where the queue remembers its jobs; one queue at a time may use it.
        cores: Cores that running jobs may take together; default: all of the machine.
        memory_bytes: Memory that running jobs may take together; default: 80 % of the machine's.
        queued_max: Jobs that may wait; more are refused for now.
        overtakes_max: Times that a waiting job may be overtaken by later ones that fit.
        lookahead_max: Waiting jobs looked at for one that fits.
        payload_bytes_max: Of one job's event.
        kill_grace_s: Time a job's wrapper gets to end the job's processes before it is ended itself.
        told_max: Ended jobs whose notice is remembered as given.
        environment: Variables that jobs inherit; all others (tokens, say) stay with the engine.
    """

    folder: Path
    cores: int = field(default_factory=_cores)
    memory_bytes: int = field(default_factory=_memory_bytes)
    queued_max: int = 100_000
    overtakes_max: int = 16
    lookahead_max: int = 64
    payload_bytes_max: int = 64 << 20
    kill_grace_s: float = 5.0
    told_max: int = 100_000
    environment: tuple[str, ...] = (
        "HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "TMPDIR",
        "TZ",
        "USER",
        "XDG_CACHE_HOME",
    )
