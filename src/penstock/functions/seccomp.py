"""A filter on system calls: no sockets, no reaching into other processes, no new namespaces.

It needs no privilege and no configuration, so it is what closes the network everywhere. Sockets
of the Unix family are refused always, allowed network or not: through one, a worker would reach
the user's session bus, a container engine, an SSH agent, or Penstock itself, and with it everything
the user may do. Pairs of sockets (``socketpair``) and pipes stay.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable

from penstock.functions import kernel

REFUSED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"),
    *("keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "open_by_handle_at"),
    *("mount", "umount2", "pivot_root", "chroot", "mount_setattr", "move_mount", "open_tree"),
    *("fsopen", "fsmount", "fsconfig", "fspick", "unshare", "setns", "quotactl", "acct"),
    *("swapon", "swapoff", "reboot", "init_module", "finit_module", "delete_module"),
    *("kexec_load", "kexec_file_load"),
    # Would give back what a call that lasts has been taken (``functions.priority``).
    "sched_setattr",
    # Memory that outlives its process and belongs to none; POSIX shared memory stays.
    *("shmget", "msgget", "semget", "mq_open"),
)
ABSENT = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""Answered as an old kernel would, so that libraries fall back to what can be filtered."""
NAMING_A_PROCESS = (
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_open",
    "prlimit64",
)
KEEPING_ITS_GROUP = ("setsid", "setpgid")
"""Answered as if done, where only the process group ends a worker: one signal then reaches all it started."""
INTERNET = (2, 10, 16)
"""IPv4, IPv6, and netlink, which looking up addresses asks for the interfaces."""

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _AND_ANY, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x45, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000
_SPECULATION_ALLOWED = 4

_Step = tuple[int, int, int, int]


def restrict(*, network: bool, one_group: bool = False, protected: Iterable[int] = ()) -> list[str]:
    """Filter the calling process and all it will start; it needs ``NO_NEW_PRIVS``.

    Args:
        one_group: Whether all that is started stays in the caller's process group, unnoticed.
        network: Whether sockets of the internet families may be made.
        protected: Processes that may not be named in a signal (those above the worker).

    Returns:
        What is held: ``sockets``, ``other-processes``; ``network`` if closed, ``tree`` if ``one_group``.

    Raises:
        OSError: The kernel has no such filters.
    """
    program = b"".join(struct.pack("HBBI", *step) for step in _program(network, one_group, list(protected)))
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    # Without this flag older kernels slow all numeric code down as a guard against a leak between threads.
    kernel.call("seccomp", 1, _SPECULATION_ALLOWED, ctypes.create_string_buffer(header, len(header)))
    held = {"sockets": True, "other-processes": True, "network": not network, "tree": one_group}
    return [name for name, holds in held.items() if holds]


def _program(network: bool, one_group: bool, protected: list[int]) -> list[_Step]:
    steps = _architecture()
    for names, code in ((REFUSED, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for name in names:
            steps += _when(_EQUAL, kernel.number(name), [_fail(code)])
    for name in KEEPING_ITS_GROUP if one_group else ():
        steps += _when(_EQUAL, kernel.number(name), [_fail(0)])
    families = INTERNET if network else ()
    steps += _first_argument("socket", _EQUAL, families, hit=_allow(), otherwise=_fail(errno.EACCES))
    steps += _first_argument("clone", _AND_ANY, (kernel.NEW_ANY,), hit=_fail(errno.EPERM), otherwise=_allow())
    named = [pid & 0xFFFFFFFF for pid in protected]
    for name in NAMING_A_PROCESS:
        every = [0xFFFFFFFF] if name == "kill" else []
        steps += _first_argument(name, _EQUAL, named + every, hit=_fail(errno.EPERM), otherwise=_allow())
    return [*steps, _allow()]


def _architecture() -> list[_Step]:
    """Refuse the calls of other architectures, which have other numbers."""
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, _ARCHITECTURE[kernel.MACHINE]),
        _fail(errno.EPERM),
    ]
    steps.append((_LOAD, 0, 0, _NUMBER))
    if kernel.MACHINE == "x86_64":
        steps += _when(_AT_LEAST, _X32, [_fail(errno.EPERM)])
    return steps


def _first_argument(
    name: str, test: int, values: Iterable[int], *, hit: _Step, otherwise: _Step
) -> list[_Step]:
    body: list[_Step] = [(_LOAD, 0, 0, _FIRST_ARGUMENT)]
    for value in values:
        body += _when(test, value, [hit])
    return _when(_EQUAL, kernel.number(name), [*body, otherwise])


def _when(test: int, value: int, body: list[_Step]) -> list[_Step]:
    return [(test, 0, len(body), value), *body]


def _fail(code: int) -> _Step:
    return _RETURN, 0, 0, _ERRNO | code


def _allow() -> _Step:
    return _RETURN, 0, 0, _ALLOW
