"""Ends what is left of jobs whose wrapper is gone and can no longer do it.

While a wrapper lives it is the reaper of all below it and ends them itself. If it was killed, its
descendants are known by the variable ``PENSTOCK_JOB`` in the environment they were started with,
and by the sessions of those.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Collection
from contextlib import suppress

from penstock.core.errors import Unavailable

MARK = "PENSTOCK_JOB"
"""Environment variable that holds the job's folder, in every process of a job."""


def end_marked(folders: Collection[str], timeout_s: float = 10.0) -> int:
    """Kill every process of the jobs with these folders, wait for their ends, and return how many there were.

    Raises:
        Unavailable: Some did not go within ``timeout_s`` (they hang in the kernel, on a dead disk, say).
    """
    marks = {f"{MARK}={folder}".encode(errors="surrogateescape") for folder in folders}
    deadline = time.monotonic() + timeout_s
    ended = 0
    while processes := _find(marks):
        try:
            for process in processes.values():
                _kill(process)
            for pid, process in processes.items():
                _wait(pid, process, deadline - time.monotonic())
        finally:
            for process in processes.values():
                os.close(process)
        ended += len(processes)
    return ended


def _find(marks: set[bytes]) -> dict[int, int]:
    """Return pid -> pidfd of the processes that bear a mark, and of all in their sessions."""
    alive = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    marked = {pid for pid in alive if _bears(pid, marks)}
    if not marked:
        return {}
    sessions = {_session(pid) for pid in marked} - {0, os.getsid(0)}
    found = marked | {pid for pid in alive if _session(pid) in sessions}
    opened: dict[int, int] = {}
    for pid in found - {os.getpid()}:
        with suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            # Asked again, now that the id cannot become another process's any more.
            if _bears(pid, marks) or _session(pid) in sessions:
                opened[pid] = process
            else:
                os.close(process)
    return opened


def _bears(pid: int, marks: set[bytes]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return not marks.isdisjoint(file.read().split(b"\0"))
    except OSError:
        return False


def _session(pid: int) -> int:
    """Return the session of a living process; 0 if it is gone or waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, _, session = file.read().rpartition(b")")[2].split()[:4]
    except OSError:
        return 0
    return 0 if state in b"ZX" else int(session)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _wait(pid: int, process: int, timeout_s: float) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(max(timeout_s, 0) * 1000):
        raise Unavailable(
            f"process {pid} of a job does not end though it was killed; it may hang on a dead disk"
        )
