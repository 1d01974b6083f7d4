"""A process and all it has started: who they are, and how to end them so that nobody gets away.

What leaves its parent (a double fork, ``setsid``) becomes a child of the nearest subreaper above it.
Workers and the zygote are subreapers, so nothing ever leaves the tree.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator

from penstock.functions import cgroup

KILL_S_MAX = 30.0
"""How long ending one tree may take before it is given up with an error."""
_STOP_S_MAX = 3.0
_PAUSE_S = 0.002
_THREADS = 17
"""Where /proc/PID/stat says how many threads there are, counted from the state on."""
_LISTED = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
"""Whether this kernel lists children; nearly all do. Else /proc is searched."""


def walk(pid: int) -> Iterator[int]:
    """Yield ``pid`` and all it has started, each before the processes it started are looked up.

    Dead but uncollected ones are among them. Who stops each as it comes will find all.
    """
    waiting = deque([pid])
    while waiting:
        one = waiting.popleft()
        yield one
        waiting += children(one)


def descendants(pid: int) -> list[int]:
    """All that ``pid`` has started, without itself."""
    return list(walk(pid))[1:]


def children(pid: int) -> list[int]:
    """The processes whose parent ``pid`` is."""
    if not _LISTED:
        return _by_search(pid)
    found: list[int] = []
    for thread in _threads(pid):
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
        except OSError:
            continue  # It ended meanwhile; its children are its group's or the subreaper's now.
    return found


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _by_search(parent: int) -> list[int]:
    everyone = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in everyone if _stat(pid)[1:2] == [str(parent)]]


def _stat(pid: int) -> list[str]:
    """State, parent and the further fields of a process; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether a process exists and has not ended; one that waits to be collected has.

    A process whose first thread has ended looks like that too, so the threads are counted.
    """
    fields = _stat(pid)
    return bool(fields) and (fields[0] not in ("Z", "X") or int(fields[_THREADS]) > 1)


def kill_tree(pid: int) -> None:
    """End a worker and all it has started, for good. Blocks, usually for a few milliseconds.

    Called in the zygote, for a worker that has not been waited for yet; that stays the caller's to do.

    Raises:
        TimeoutError: Something lives on after ``KILL_S_MAX`` (it hangs in the kernel, say, on dead NFS).
    """
    deadline = time.monotonic() + KILL_S_MAX
    group = cgroup.of(pid)
    if group is not None and group != cgroup.of(os.getpid()):
        cgroup.kill(group)
    if _is_first_of_its_namespace(pid):
        _signal([pid], signal.SIGKILL)
    with _ahead_of_others():
        stopped = _stop_all(pid)
        _end_below(pid, stopped, deadline)
        _signal([pid], signal.SIGKILL)
        _wait_until_dead(pid, deadline)
    _collect(stopped)


def kill_strays(workers: Collection[int]) -> int:
    """End the children of the calling zygote that are no workers, with all they have started.

    A worker that crashed leaves what it had started to the zygote. Call it after a worker has been
    waited for that ended by itself; it costs a look at one file when there is nothing to do.

    Args:
        workers: The living workers' process ids.

    Returns:
        How many there were.
    """
    ended = 0
    while True:
        strays = [pid for pid in children(os.getpid()) if pid not in workers]
        if not strays:
            return ended
        for pid in strays:
            kill_tree(pid)
            _collect([pid])
        ended += len(strays)


def _is_first_of_its_namespace(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


@contextlib.contextmanager
def _ahead_of_others() -> Iterator[None]:
    """Run before all those that fork, where that is permitted (root): hundreds of them leave little time."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def _stop_all(pid: int) -> set[int]:
    """Stop the whole tree: who is stopped cannot fork, so a few rounds overtake any fork bomb."""
    deadline = time.monotonic() + _STOP_S_MAX
    stopped: set[int] = set()
    _stop_group(pid)
    while time.monotonic() < deadline:
        before = len(stopped)
        for one in walk(pid):
            if one not in stopped:
                _signal([one], signal.SIGSTOP)
                stopped.add(one)
        # Until it really stands still, a fork under way may yet yield a child that nobody has seen.
        if len(stopped) == before and all(_stat(one)[:1] != ["R"] for one in stopped):
            break
    return stopped - {pid}


def _stop_group(pid: int) -> None:
    """Stop at once all that stayed in the worker's process group: one call that no fork overtakes."""
    try:
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGSTOP)
    except OSError:
        return  # It has ended.


def _end_below(pid: int, stopped: set[int], deadline: float) -> None:
    """End all but ``pid`` itself, which stays as the subreaper to which the killed ones' children come."""
    _signal(stopped, signal.SIGKILL)
    while True:
        left = []
        for one in filter(alive, itertools.islice(walk(pid), 1, None)):
            _signal([one], signal.SIGKILL)
            left.append(one)
        if not left:
            return
        _wait_until_dead(left[0], deadline)


def _wait_until_dead(pid: int, deadline: float) -> None:
    while alive(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not end after SIGKILL; it may hang in the kernel")
        time.sleep(_PAUSE_S)


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _collect(pids: Iterable[int]) -> None:
    """Take the exit of those that became the caller's children."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
