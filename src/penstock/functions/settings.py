"""What a site may set about the pool of warm workers."""

from __future__ import annotations

import os
from dataclasses import dataclass

CORES = os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSettings:
    """Limits and places of the pool.

    Attributes:
        scratch: Folder for what functions write; on the file system where results are published.
        read: Folders that functions may read besides the system's and their own code: the storages.
        logs: Folder for what functions print, a file for each worker.
        workers_max: Most workers of one function at once, whatever concurrency it allows.
        workers_total_max: Most workers altogether; idle ones of other functions make room.
        zygotes_max: Most environments that are kept ready.
        idle_s: After which an idle worker is ended, in seconds.
        start_timeout_s: Longest time in which a function's file may be imported, in seconds.
        turn_s: How long a function may keep a worker busy while others have none, in seconds.
        ahead: Most calls that are sent to one worker, the one it works on included. Two keep it busy.
        answer_bytes_max: Longest answer of a function, as JSON.
        log_file_bytes_max: Longest log file of a worker; then a new worker takes its place.
        preload: Modules that a zygote imports once, where its environment has them; they run unconfined.
        variables: Environment variables that functions see, next to their own.
        cgroup: Folder in which workers get control groups; empty for none.
    """

    scratch: str
    logs: str
    read: tuple[str, ...] = ()
    workers_max: int = max(4, 2 * CORES)
    workers_total_max: int = max(32, 8 * CORES)
    zygotes_max: int = 16
    idle_s: float = 300.0
    start_timeout_s: float = 120.0
    turn_s: float = 0.25
    ahead: int = 2
    answer_bytes_max: int = 512 << 10
    log_file_bytes_max: int = 64 << 20
    preload: tuple[str, ...] = ()
    variables: tuple[str, ...] = (
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH",
        "PENSTOCK_CONFINE_WITHOUT",
    )  # fmt: skip
    cgroup: str = ""
