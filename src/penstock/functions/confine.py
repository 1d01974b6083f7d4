"""Confines a worker before it imports the user's code: the kernel holds what it can hold here.

Everything is tightened once per worker and nothing per call. Each mechanism may be missing (another
kernel, a container, a site's rules) and is then left out; ``enter`` says what is held, and
``supervise`` watches over the rest. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Collection, Mapping
from typing import Any

from penstock.functions import cgroup, kernel, landlock, namespaces, priority, seccomp
from penstock.functions.tree import kill_strays, kill_tree

__all__ = [
    "MECHANISMS",
    "SWITCHED_OFF",
    "become_zygote",
    "enter",
    "fork",
    "kill_strays",
    "kill_tree",
    "tasks_most",
]

MECHANISMS = ("cgroup", "namespaces", "landlock", "seccomp", "rlimits", "capabilities")
SWITCHED_OFF = "PENSTOCK_CONFINE_WITHOUT"
"""Environment variable: mechanisms, separated by commas, that are not to be used."""
THREADS_MORE = 256
"""The kernel counts threads as it counts processes; numeric libraries start one per core."""
FILES_OPEN_MOST = 4096
THREAD_BYTES = 48 << 20
"""What a numeric library reserves per core and hardly uses (stack, buffer); not held against the limit."""


def become_zygote() -> None:
    """Make the calling process the one to which everything falls that its workers leave behind."""
    kernel.prctl(kernel.CHILD_SUBREAPER, 1)


def fork(without: Collection[str] = ()) -> int:
    """``os.fork``, in the zygote, for a worker: in its own namespaces where they may be made.

    Args:
        without: Mechanisms not to use, besides those in ``SWITCHED_OFF``.

    Returns:
        The worker's process id to wait for and to end; 0 in the worker, which calls ``enter`` next.
    """
    if "namespaces" not in _off(without):
        try:
            return namespaces.fork()
        except OSError:
            pass  # Not permitted here; ``probe`` says how to get it.
    return os.fork()


def tasks_most(processes: int) -> int:
    """How many processes and threads together a limit of so many processes allows."""
    return processes + THREADS_MORE


def enter(plan: Mapping[str, Any], without: Collection[str] = ()) -> list[str]:
    """Confine the calling process, a freshly forked worker with one thread, for good.

    Sockets and files that are open already stay usable. No new socket can be made afterwards
    (but pairs), so the worker's line to its supervisor must be there before.

    Args:
        plan: ``write`` and ``read``, lists of folders; ``memory_bytes``, ``processes``,
            ``file_bytes`` (0 or missing: no limit); ``network``; ``cgroup``, the folder of its group;
            ``demoted``, whether it gives way to others from the start.
        without: Mechanisms not to use, besides those in ``SWITCHED_OFF``.

    Returns:
        What the kernel holds now, each once: ``writes``, ``reads``, ``home``, ``network``, ``sockets``,
        ``signals``, ``other-processes``, ``memory`` (of the tree), ``memory-per-process``,
        ``processes``, ``file-size`` (of each file), ``privileges``, ``tree`` (its certain end).
    """
    off = _off(without)
    above = _ancestors()
    kernel.prctl(kernel.NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.CHILD_SUBREAPER, 1)
    os.setsid()
    if plan.get("demoted"):
        priority.give_way()  # now: in a new session, and before /proc is closed to it
    held: list[str] = []
    steps: dict[str, Callable[[], list[str]]] = {
        "cgroup": lambda: cgroup.join(plan["cgroup"]) if plan.get("cgroup") else [],
        "namespaces": lambda: _namespaces(plan, off),
        "rlimits": lambda: _rlimits(plan),
        "capabilities": _capabilities,
        "landlock": lambda: _landlock(plan),
        "seccomp": lambda: _seccomp(plan, held, above),
    }
    for mechanism, step in steps.items():
        held += _try(step) if mechanism not in off else []
    kernel.prctl(kernel.PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if above and os.getppid() != above[0]:
        os._exit(1)  # The zygote ended before its death became a signal.
    return list(dict.fromkeys(held))


def _try(step: Callable[[], list[str]]) -> list[str]:
    try:
        return step()
    except OSError:
        return []  # Not here. What is not in the list that ``enter`` returns is supervised.


def _off(without: Collection[str]) -> set[str]:
    return {*without, *os.environ.get(SWITCHED_OFF, "").split(",")}


def _namespaces(plan: Mapping[str, Any], off: set[str]) -> list[str]:
    if not namespaces.entered():
        return []
    held = ["tree", "signals"]
    held += _try(lambda: namespaces.close_mounts(plan["write"], plan.get("memory_bytes") or 1 << 30))
    if "writes" in held and ("landlock" in off or not landlock.abi()):
        shown = (*plan["write"], *plan.get("read", ()), *landlock.interpreter(plan["write"]))
        held += _try(lambda: namespaces.hide_home(os.path.expanduser("~"), shown))
    if plan.get("processes"):
        held += _tasks(tasks_most(plan["processes"]))
    return held


def _tasks(most: int) -> list[str]:
    """Limit the tasks of this user namespace; the kernel does not count root's."""
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    return ["processes"] if os.geteuid() != 0 else []


def _rlimits(plan: Mapping[str, Any]) -> list[str]:
    held = []
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, FILES_OPEN_MOST)
    if plan.get("file_bytes"):
        _lower(resource.RLIMIT_FSIZE, plan["file_bytes"])
        held.append("file-size")
    if plan.get("memory_bytes"):
        # Address space (RLIMIT_AS) would count mapped files too; this counts what can become memory.
        _lower(resource.RLIMIT_DATA, plan["memory_bytes"] + THREAD_BYTES * (os.cpu_count() or 1))
        held.append("memory-per-process")
    return held


def _lower(limit: int, value: int) -> None:
    _, most = resource.getrlimit(limit)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(limit, (value, value))


def _capabilities() -> list[str]:
    kernel.drop_capabilities()
    return ["privileges"]


def _landlock(plan: Mapping[str, Any]) -> list[str]:
    return landlock.restrict(plan.get("read", ()), plan["write"], network=bool(plan.get("network")))


def _seccomp(plan: Mapping[str, Any], held: list[str], above: list[int]) -> list[str]:
    network = bool(plan.get("network"))
    return seccomp.restrict(network=network, one_group="tree" not in held, protected=above)


def _ancestors() -> list[int]:
    """The processes above, this one's parent first; none are seen from inside a process namespace."""
    found: list[int] = []
    pid = os.getppid()
    while pid > 1:
        found.append(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found
