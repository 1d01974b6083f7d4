"""Who runs first when all cores are taken: what has just come before what has lasted a while.

Nothing here needs a privilege, and each part that a kernel lacks is left out. Two means:

- *Prompt* processes (engine, zygotes, workers) ask for short turns (Linux 6.12). Who has a short turn gets
  a core within a fraction of a millisecond when it wakes up, and no more of it than the others.
- A call that has used a core for a while is *demoted*: it gives way to all that are not, as long as there
  are any. It is not stopped; a core that nobody else wants is wholly its own. An ordinary user cannot take
  a demotion back, so its worker ends with the call. A function with such calls gets workers that are born
  demoted, and stay, until one of its calls is not like that.

Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from penstock.functions import kernel

TURN_NS = 100_000
"""The shortest turn that the kernel gives."""
DEMOTED_NICE = 5
"""A third of the weight of others: a call that lasts goes on slowly, but it goes on."""
_USUAL_TURN = 0
_AUTOGROUPS = "/proc/sys/kernel/sched_autogroup_enabled"


def be_prompt() -> None:
    """Ask for short turns for the calling process: its threads, and all that it starts from now on."""
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    for thread in _threads("self"):
        _set(thread, os.SCHED_OTHER, nice, TURN_NS)


def give_way() -> None:
    """Demote the calling process, which leads its session and has one thread."""
    _set(0, _demote_session("self"), DEMOTED_NICE, _USUAL_TURN)


def demote(pids: Iterable[int]) -> None:
    """Let processes give way to others; those that have ended are skipped.

    Blocks for about 30 µs per process and some more per thread.
    """
    for pid in pids:
        policy = _demote_session(str(pid))
        for thread in _threads(str(pid)):
            _set(thread, policy, DEMOTED_NICE, _USUAL_TURN)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time that processes have used so far, in seconds."""
    return sum(map(_cpu_ns, pids)) / 1e9


def _set(thread: int, policy: int, nice: int, turn_ns: int) -> None:
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
    attributes = struct.pack("IIQiIQQQ", 48, policy, 0, nice, 0, turn_ns, 0, 0)
    try:
        kernel.call("sched_setattr", thread, ctypes.create_string_buffer(attributes, len(attributes)), 0)
    except OSError:
        return  # It has ended, or this kernel has no such call.


def _demote_session(process: str) -> int:
    """Give a process's session less weight, where cores are shared among sessions; return its policy then.

    Where they are (autogroups), niceness counts within a session only, and its policy too. So there it may be
    the one that makes its core count as idle: what wakes up is put there and begins at once. Elsewhere that
    would let a call starve beside any program of the machine, and it is niceness alone that tells.
    """
    try:
        with open(f"/proc/{process}/autogroup", "w") as file:
            file.write(str(DEMOTED_NICE))
        return os.SCHED_IDLE if _has_own_share(process) else os.SCHED_OTHER
    except OSError:
        return os.SCHED_OTHER  # None here; or it has ended, or another was demoted just now: the next look.


def _has_own_share(process: str) -> bool:
    """Whether autogroups are in use, and not overruled by a control group."""
    with open(_AUTOGROUPS) as file, open(f"/proc/{process}/cgroup") as groups:
        lines = [line.rstrip().split(":", 2) for line in groups]
        of_cpu = [path for _, names, path in lines if "cpu" in names.split(",")] or [
            path for _, names, path in lines if not names
        ]
        return file.read().strip() == "1" and set(of_cpu) == {"/"}


def _threads(process: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]
    except OSError:
        return []


def _cpu_ns(pid: int) -> int:
    """Of all its threads, those that have ended excepted."""
    used = 0
    for thread in _threads(str(pid)):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                used += int(file.read().split()[0])
        except (OSError, IndexError):
            continue
    return used
