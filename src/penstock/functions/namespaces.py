"""A worker's own user, process and mount namespace, where the kernel lets an ordinary user make them.

The worker is process 1 of its process namespace. When it ends, by itself or by SIGKILL, the kernel
ends everything it ever started, however it hid. In its mount namespace /proc shows only its own
processes, all file systems are read-only but its own folders, and /dev/shm is its own. In its user
namespace it counts its own threads, so that RLIMIT_NPROC is a limit of this worker, not of the user.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

from penstock.functions import kernel

_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTE, _BIND = 1, 2, 4, 8, 4096
_RECURSIVE, _PRIVATE = 16384, 1 << 18
_HERE, _ALSO_BELOW, _LAZILY = -100, 0x8000, 2


def fork() -> int:
    """Fork as ``os.fork`` does, the child being process 1 of its own process namespace.

    The caller is the child's parent and may wait for it. It must be a subreaper: a process between
    the two makes the namespaces and is gone when this returns.

    Returns:
        The child's process id as the caller sees it; 0 in the child.

    Raises:
        OSError: Namespaces may not be made here; there is no child.
    """
    tell, told = os.pipe(), os.pipe()
    between = os.fork()
    if between == 0 and _between(tell, told):
        return 0
    os.close(tell[1])
    os.close(told[0])
    try:
        answer = os.read(tell[0], 16)
        os.waitpid(between, 0)
        pid = int(answer or b"0")
        if pid == 0:
            raise OSError(1, "this user may not make user and process namespaces")
        os.write(told[1], b".")  # Only now is the caller its parent, so that its death can be a signal.
        return pid
    finally:
        os.close(tell[0])
        os.close(told[1])


def _between(tell: tuple[int, int], told: tuple[int, int]) -> bool:
    """Return True in the child, in which the caller goes on; the process between never returns."""
    os.close(tell[0])
    os.close(told[1])
    try:
        _own_user(kernel.NEW_USER | kernel.NEW_PID)
        pid = os.fork()
    except OSError:
        os._exit(1)
    if pid != 0:
        try:
            os.write(tell[1], str(pid).encode())
        finally:
            os._exit(0)  # Also when the zygote has been killed meanwhile: nothing may return from here.
    os.close(tell[1])
    if os.read(told[0], 1) == b"":
        os._exit(1)  # The zygote is gone.
    os.close(told[0])
    return True


def _own_user(flags: int) -> None:
    user, group = os.geteuid(), os.getegid()
    kernel.call("unshare", flags)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        handle = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)


def entered() -> bool:
    """Whether the calling process came from ``fork`` here."""
    return os.getpid() == 1


def close_mounts(write: Iterable[str], shared_memory_bytes: int) -> list[str]:
    """Make everything read-only but ``write``, in a mount namespace of the calling worker's own.

    Args:
        write: Folders that stay writable.
        shared_memory_bytes: Size of its own /dev/shm.

    Returns:
        ``writes`` if the kernel holds it now.

    Raises:
        OSError: Nothing may be mounted here; nothing is changed that the worker could notice.
    """
    # Made only now: a mount with a file open for writing (the worker's log) cannot become read-only.
    kernel.call("unshare", kernel.NEW_NS)
    _mount("none", "/", "", _RECURSIVE | _PRIVATE, "")
    with contextlib.suppress(OSError):  # In containers that hide parts of /proc; the other one still works.
        _mount("proc", "/proc", "proc", _NO_SUID | _NO_DEVICES | _NO_EXECUTE, "")
    folders = _outermost(write)
    for folder in folders:
        _mount(folder, folder, "", _BIND, "")
    _read_only("/", True, below=True)
    for folder in folders:
        _read_only(folder, False, below=False)
    # A private /dev/shm goes away with the worker, and counts its bytes.
    _mount("tmpfs", "/dev/shm", "tmpfs", _NO_SUID | _NO_DEVICES, f"size={shared_memory_bytes},mode=1777")  # noqa: S108
    _step_into_new_mounts()
    return ["writes"]


def hide_home(folder: str, but: Iterable[str]) -> list[str]:
    """Show an empty folder in place of ``folder``, in it only what is listed; after ``close_mounts``.

    Where there is no Landlock, this keeps at least the home folder from being read.

    Returns:
        ``home``.

    Raises:
        OSError: Nothing may be mounted here; nothing is changed.
    """
    folder = os.path.realpath(folder)
    inside = [path for path in _outermost(but) if path.startswith(folder + "/") and os.path.isdir(path)]
    kept = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in inside]
    _mount("tmpfs", folder, "tmpfs", _NO_SUID | _NO_DEVICES, "size=1m,mode=0755")
    try:
        for path, handle in kept:
            os.makedirs(path)
            _mount(f"/proc/self/fd/{handle}", path, "", _BIND | _RECURSIVE, "")
        _read_only(folder, True, below=False)
        _step_into_new_mounts()
    except OSError:
        kernel.call("umount2", ctypes.c_char_p(os.fsencode(folder)), _LAZILY)
        raise
    finally:
        for _, handle in kept:
            os.close(handle)
    return ["home"]


def _outermost(folders: Iterable[str]) -> list[str]:
    """The folders that are not within another of them."""
    found: list[str] = []
    for folder in sorted({os.path.realpath(folder) for folder in folders}):
        if not any(folder.startswith(outer.rstrip("/") + "/") for outer in found):
            found.append(folder)
    return found


def _step_into_new_mounts() -> None:
    """The working folder is still the one below what was mounted over it."""
    with contextlib.suppress(OSError):
        os.chdir(os.getcwd())


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    texts = [ctypes.c_char_p(os.fsencode(text)) for text in (source, target, kind)]
    kernel.call("mount", *texts, flags, ctypes.c_char_p(options.encode()))


def _read_only(target: str, on: bool, *, below: bool) -> None:
    attributes = struct.pack("QQQQ", int(on), int(not on), 0, 0)
    path = ctypes.c_char_p(os.fsencode(target))
    flags = _ALSO_BELOW if below else 0
    kernel.call("mount_setattr", _HERE, path, flags, ctypes.create_string_buffer(attributes, 32), 32)
