"""System calls that Python does not offer, by name, for x86_64 and aarch64.

Like all that is loaded in a zygote: standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import ctypes
import os

MACHINE = os.uname().machine
_LIBC = ctypes.CDLL(None, use_errno=True)
_PRCTL = _LIBC.prctl
_PRCTL.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]

NUMBERS: dict[str, tuple[int, int]] = {
    # name: (x86_64, aarch64)
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setattr": (314, 274),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "setns": (308, 268),
    "setpgid": (109, 154),
    "setsid": (112, 157),
    "shmget": (29, 194),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

NO_NEW_PRIVS = 38
PARENT_DEATH_SIGNAL = 1
CHILD_SUBREAPER = 36

NEW_NS = 0x00020000
NEW_USER = 0x10000000
NEW_PID = 0x20000000
NEW_ANY = 0x7E020000 | 0x00000080
"""Every flag of ``clone`` that makes a namespace."""


def supported() -> bool:
    """Whether the numbers above hold for this machine."""
    return MACHINE in ("x86_64", "aarch64")


def number(name: str) -> int:
    """The number of a system call here."""
    return NUMBERS[name][0 if MACHINE == "x86_64" else 1]


def call(name: str, *arguments: object) -> int:
    """Make a system call and return its result.

    Raises:
        OSError: The kernel refuses it, does not know it, or the machine is neither of the two.
    """
    if not supported():
        raise OSError(38, f"{name}: no system call numbers for {MACHINE}")
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _LIBC.syscall(ctypes.c_long(number(name)), *wide)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def prctl(option: int, value: int) -> None:
    """Set one of the process's own properties.

    Raises:
        OSError: The kernel refuses it.
    """
    if _PRCTL(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


def drop_capabilities() -> None:
    """Give up every capability for good (with ``NO_NEW_PRIVS``): a worker run by root is no root."""
    version_3 = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little") + bytes(4), 8)
    call("capset", version_3, ctypes.create_string_buffer(24))
