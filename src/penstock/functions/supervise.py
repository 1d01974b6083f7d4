"""Watches over calls that last: memory, processes, log and scratch of each, where the kernel does not.

Used in the zygote's single-threaded loop, which waits until ``Watch.deadline`` at most. A call that
ends within ``PERIOD_S`` is never looked at, and without calls there is no deadline: idling costs nothing.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.functions import cgroup, confine, priority, tree

PERIOD_S = 0.1
HEAVY_CPU_S = 0.05
"""Processor time, in seconds, after which a call that is watched gives way to others."""
FILES_MOST = 100_000
"""Files and folders in the scratch of one call."""
PROCESSES_MOST = 10_000
"""Processes of one call that are looked at if it has no limit of them."""
_SHARE_OF_TIME = 10
"""What took long is repeated only after so many times as long: all looks together take a tenth of a core."""
_MEASURE_S_MAX = 0.03
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Breach:
    """A limit that a call has crossed; its worker is to be ended.

    Attributes:
        pid: The worker's process id.
        limit: ``memory``, ``processes``, ``threads``, ``log``, ``file``, ``files`` or ``time``.
        words: For people: what was measured, what is allowed, what to do.
    """

    pid: int
    limit: str
    words: str


@dataclass
class _Call:
    pid: int
    limits: Mapping[str, Any]
    began: float
    log_bytes_before: int
    next_look: float
    group: str | None = None
    cpu_s: float = 0.0
    demoted: set[int] = field(default_factory=set)
    next_walk: float = 0.0
    measured: dict[int, int] = field(default_factory=dict)


class Watch:
    """The calls that are under way in one zygote's workers, one per worker.

    Args:
        demoted: Gets the process id of each worker whose call has been told to give way to others, because
            it uses a core for long; see ``functions.priority``. Without, none is.
    """

    def __init__(self, demoted: Callable[[int], None] | None = None) -> None:
        self._calls: dict[int, _Call] = {}
        self._demoted = demoted

    def begin(self, pid: int, limits: Mapping[str, Any]) -> None:
        """Note that a call has begun.

        Args:
            pid: The worker's process id.
            limits: ``memory_bytes``, ``processes``, ``log_bytes`` (with ``log``, the file's path, and
                ``log_from``, its length when the call began; default: now),
                ``file_bytes`` and ``files`` (with ``scratch``, a list of folders), ``timeout_s``.
                With ``tree`` its descendants count, whatever control group it is in.
                What is missing or 0 is not watched; ``files`` is ``FILES_MOST`` then.
        """
        now = time.monotonic()
        log = limits.get("log")
        # A group is asked for at the first look: most calls have ended by then.
        before = limits.get("log_from", _size(log) if log else 0)
        self._calls[pid] = _Call(pid, limits, now, before, now + PERIOD_S, cpu_s=priority.cpu_s([pid]))

    def end(self, pid: int) -> None:
        """Note that a worker's call has ended, or the worker; a worker without a call is fine."""
        self._calls.pop(pid, None)

    def deadline(self) -> float | None:
        """Return the monotonic time at which ``sample`` wants to be called; ``None`` without calls."""
        return min((call.next_look for call in self._calls.values()), default=None)

    def sample(self, now: float) -> list[Breach]:
        """Look at the calls whose time has come. Blocks for about 50 µs per process of theirs.

        Args:
            now: The monotonic time.

        Returns:
            A limit crossed by each call that crossed one; these calls are no longer watched.
        """
        found: list[Breach] = []
        for call in [call for call in self._calls.values() if call.next_look <= now]:
            before = time.thread_time()
            pids = _processes_of(call)
            breach = next(_look(call, now, pids), None)
            if breach is None and self._demoted is not None:
                self._demote_if_heavy(call, pids, self._demoted)
            if breach is not None:
                found.append(breach)
                self.end(call.pid)
            # In processor time: under a fork bomb the clock runs on while nobody gets to look.
            spent = (time.thread_time() - before) * len(self._calls)
            call.next_look = time.monotonic() + max(PERIOD_S, spent * _SHARE_OF_TIME)
        return found

    def _demote_if_heavy(self, call: _Call, pids: list[int], demoted: Callable[[int], None]) -> None:
        if not call.demoted and priority.cpu_s(pids) - call.cpu_s < HEAVY_CPU_S:
            return
        new = set(pids) - call.demoted
        priority.demote(new)
        if not call.demoted:
            demoted(call.pid)
        call.demoted |= new


def _look(call: _Call, now: float, pids: list[int]) -> Iterator[Breach]:
    """Yield what is crossed, the cheapest to find first: a fork bomb leaves no time for the others."""
    yield from _time(call, now)
    yield from _processes(call, pids)
    yield from _log(call)
    yield from _memory(call, pids)
    yield from _scratch(call, now)


def _processes_of(call: _Call) -> list[int]:
    """The processes of a call, not many more than are allowed."""
    if not call.limits.get("tree"):
        call.group = call.group or cgroup.of(call.pid)
    found = cgroup.members(call.group) if call.group else tree.walk(call.pid)
    most = (call.limits.get("processes") or PROCESSES_MOST) + 1
    return list(itertools.islice(filter(tree.alive, found), most))


def _time(call: _Call, now: float) -> Iterator[Breach]:
    allowed = call.limits.get("timeout_s")
    if allowed and now - call.began > allowed:
        yield Breach(
            call.pid, "time", f"it ran for {now - call.began:.1f} s; {allowed:g} s are allowed (timeout_s)"
        )


def _processes(call: _Call, pids: list[int]) -> Iterator[Breach]:
    allowed = call.limits.get("processes")
    if not allowed:
        return
    if len(pids) > allowed:
        yield Breach(
            call.pid, "processes", f"more than the {allowed} processes at once that are allowed (processes)"
        )
    threads, most = sum(_threads(pid) for pid in pids), confine.tasks_most(allowed)
    if threads > most:
        words = f"{threads} threads at once; {most} are allowed ({confine.THREADS_MORE} more than processes)"
        yield Breach(call.pid, "threads", words)


def _memory(call: _Call, pids: list[int]) -> Iterator[Breach]:
    allowed = call.limits.get("memory_bytes")
    if not allowed or sum(_resident(pid) for pid in pids) <= allowed:
        return
    # The cheap sum counts what processes share (the zygote's pages) several times over, so now count right.
    used = _measure(call, pids)
    if used > allowed:
        yield Breach(
            call.pid, "memory", f"{_text(used)} of memory; {_text(allowed)} are allowed (memory_bytes)"
        )


def _measure(call: _Call, pids: list[int]) -> int:
    """Sum up the memory of processes, as last measured; those measured longest ago are measured anew.

    Measuring waits for a process that is about to fork, so many that fork could take all of our time.
    """
    known = {pid: size for pid, size in call.measured.items() if pid in pids}
    order = [*(pid for pid in pids if pid not in known), *known]
    deadline = time.monotonic() + _MEASURE_S_MAX
    for pid in order:
        known.pop(pid, None)
        known[pid] = _proportional(pid)
        if time.monotonic() > deadline:
            break
    call.measured = known
    return sum(known.values())


def _log(call: _Call) -> Iterator[Breach]:
    allowed, path = call.limits.get("log_bytes"), call.limits.get("log")
    if not allowed or not path:
        return
    written = _size(path) - call.log_bytes_before
    if written > allowed:
        yield Breach(call.pid, "log", f"{_text(written)} printed; {_text(allowed)} are allowed (log_bytes)")


def _scratch(call: _Call, now: float) -> Iterator[Breach]:
    allowed = call.limits.get("file_bytes")
    if not allowed or now < call.next_walk:
        return
    used, files, most = 0, 0, call.limits.get("files") or FILES_MOST
    for folder in call.limits.get("scratch", ()):
        more_bytes, more_files = usage(folder, most - files)
        used, files = used + more_bytes, files + more_files
    call.next_walk = now + (time.monotonic() - now) * _SHARE_OF_TIME
    if used > allowed:
        yield Breach(call.pid, "file", f"{_text(used)} of files; {_text(allowed)} are allowed (file_bytes)")
    if files >= most:
        yield Breach(call.pid, "files", f"{files} files and folders; fewer than {most} are allowed")


def usage(folder: str, files_most: int) -> tuple[int, int]:
    """Return the bytes on disk and the entries below ``folder``, counting ``files_most`` at most."""
    used, files, waiting = 0, 0, [folder]
    while waiting and files < files_most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    # A sparse file counts with what it promises: publishing it would write that.
                    used, files = used + max(found.st_size, found.st_blocks * 512), files + 1
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
                    if files >= files_most:
                        break
        except OSError:
            continue  # Removed meanwhile.
    return used, files


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _proportional(pid: int) -> int:
    """Memory of a process, pages shared with others counted in parts."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), 0)
    except OSError:
        return _resident(pid)


def _threads(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2
    except OSError:
        return 0


def _text(size: int) -> str:
    """A number of bytes for people."""
    for unit, bytes_of in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size} bytes"
