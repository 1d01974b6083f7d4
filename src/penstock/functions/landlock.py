"""Landlock: which files a process and all its children may read and write, held by the kernel.

Rules only ever tighten, so this is done once per worker, not per call. What the running kernel
does not know (``abi``) is left out.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Collection, Iterable

from penstock.functions import kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15

READ = EXECUTE | READ_FILE | READ_DIR
CHANGE = (
    WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE
)
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
"""The rights a rule on a file, not a folder, may name."""
NAMED = READ_FILE | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE | REFER
"""In /dev/shm: locks and shared memory by their random names; without a listing nobody finds another's."""

SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store", "/cvmfs"),
    *(
        "/proc",
        "/sys/devices/system",
        "/sys/fs/cgroup",
        "/run/systemd/resolve",
        "/run/NetworkManager",
        "/var/cache/fontconfig",
    ),
)
"""Read by programs everywhere, and by any user of the machine. Homes, /tmp, /run, /var and /root are not."""
SECRET_IN_ETC = frozenset(
    {"shadow", "shadow-", "gshadow", "gshadow-", "ssh", "sudoers", "sudoers.d", "security"}
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/fd")


def abi() -> int:
    """The version of Landlock here, from 1; 0 if the kernel has none or it is switched off."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def restrict(read: Collection[str], write: Collection[str], *, network: bool) -> list[str]:
    """Confine the calling process, and all it will start, to what is listed; it needs ``NO_NEW_PRIVS``.

    Args:
        read: Files and folders to read and execute, besides the system's and the interpreter's.
        write: Folders to change as well.
        network: Whether TCP is allowed.

    Returns:
        What is now held: ``writes``, ``reads`` and ``home``; ``signals`` from ABI 6 on.

    Raises:
        OSError: The kernel refuses.
    """
    version = abi()
    if version == 0:
        return []
    files = _known(version)
    ruleset = _create(files, version, network)
    try:
        for path, rights in _rules(read, write):
            _allow(ruleset, path, rights & files)
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return ["writes", "reads", "home", *(["signals"] if version >= 6 else [])]


def _known(version: int) -> int:
    newer = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEVICE}
    return ((1 << 13) - 1) | sum(right for since, right in newer.items() if version >= since)


def _create(files: int, version: int, network: bool) -> int:
    tcp = 0b11 if version >= 4 and not network else 0
    scoped = 0b11 if version >= 6 else 0
    attributes = struct.pack("QQQ", files, tcp, scoped)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    return kernel.call("landlock_create_ruleset", ctypes.create_string_buffer(attributes), len(attributes), 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # What is not there needs no rule.
    try:
        if not os.path.isdir(path):
            rights &= OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle), 12)
        kernel.call("landlock_add_rule", ruleset, 1, rule, 0)
    finally:
        os.close(handle)


def _rules(read: Collection[str], write: Collection[str]) -> Iterable[tuple[str, int]]:
    yield from ((path, READ) for path in (*SYSTEM, *_etc(), *interpreter(write), *read))
    yield from ((path, READ | CHANGE) for path in write)
    yield from ((path, READ_FILE | READ_DIR | WRITE_FILE) for path in DEVICES)
    yield "/dev/shm", NAMED  # noqa: S108


def _etc() -> list[str]:
    """Configuration that every user may read; root's worker does not get what only root may."""
    if os.geteuid() != 0:
        return ["/etc"]
    return [f"/etc/{name}" for name in os.listdir("/etc") if name not in SECRET_IN_ETC]


def interpreter(write: Iterable[str] = ()) -> list[str]:
    """The folders this Python imports from: often in the user's home, which as a whole stays closed.

    So does a folder that holds the scratch folders, even if Python imports from it.
    """
    closed = [os.path.realpath(path) + "/" for path in (os.path.expanduser("~"), *write)]
    found = {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, *sys.path) if p and os.path.isabs(p)}
    found.add(os.path.dirname(os.path.realpath(sys.executable)))
    return sorted(path for path in found if not any(one.startswith(path.rstrip("/") + "/") for one in closed))
