"""Folders opened beneath another one, so that nobody leads us elsewhere by swapping one for a link.

A path that was checked may be another place when it is used. So folders are opened first, without following
any link, and what is done is done in what was opened (``dir_fd``). ``openat2`` (Linux 5.6) does that in one
call; where it is missing, or forbidden, the path is walked folder by folder, which is as safe and slower.
All of it blocks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from functools import cache
from types import TracebackType

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x1, 0x2, 0x4, 0x8
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _How(ctypes.Structure):
    """See openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_how = _How(FOLDER, 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
_ADDRESS, _SIZE, _NUMBER = ctypes.byref(_how), ctypes.c_size_t(ctypes.sizeof(_how)), ctypes.c_long(_OPENAT2)


class Folders:
    """Opens folders of one tree; the last one stays open, for it is mostly wanted again.

    Args:
        top: Descriptor of the tree's top folder; stays the caller's.
        path: Its path, without links in it.
        mode: Folders that are missing are made with this mode; None: that is an error.
        links: Whether links that stay in the tree are followed.
    """

    def __init__(self, top: int, path: bytes, mode: int | None = None, *, links: bool = False) -> None:
        self._top = top
        self._path = path
        self._mode = mode
        self._links = links
        self._last: tuple[bytes, int] | None = None

    def __enter__(self) -> Folders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def open(self, folder: bytes) -> int:
        """Return a descriptor of a folder; it is good until the next is asked for.

        Raises:
            OSError: ``ELOOP`` if a link is in the way, ``EXDEV`` if it is on another file system.
        """
        if self._last is None or self._last[0] != folder:
            self._close()
            self._last = folder, self._opened(folder)
        return self._last[1]

    def _close(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None

    def _opened(self, folder: bytes) -> int:
        try:
            return self._entered(folder)
        except FileNotFoundError:
            if self._mode is None or folder == self._path:
                raise
            self._make(folder, self._mode)
        return self._entered(folder)

    def _make(self, folder: bytes, mode: int) -> None:
        """Make a folder, and those above it, each name durable."""
        above, _, name = folder.rpartition(b"/")
        handle = self._opened(above or b"/")
        try:
            os.mkdir(name, mode, dir_fd=handle)
        except FileExistsError:
            pass  # by somebody else, at the same moment; what it is will be seen
        except OSError as error:
            raise OSError(error.errno, error.strerror, folder) from error
        else:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _entered(self, folder: bytes) -> int:
        try:
            return enter(self._top, self._below(folder), folder)
        except OSError as error:
            if error.errno != errno.ELOOP or not self._links:
                raise
        there = os.path.realpath(folder)
        if there != self._path and not there.startswith(self._path.rstrip(b"/") + b"/"):
            words = "a symbolic link leads out of the storage, and outputs do not follow it"
            raise OSError(errno.ELOOP, words, folder)
        return enter(self._top, self._below(there), folder)

    def _below(self, folder: bytes) -> bytes:
        top = self._path.rstrip(b"/")
        if folder != self._path and not folder.startswith(top + b"/"):
            raise OSError(errno.EXDEV, "it is not in the storage", folder)
        return folder[len(top) + 1 :] or b"."


def enter(top: int, below: bytes, shown: bytes) -> int:
    """Open the folder ``below`` (relative) without following a link or leaving the file system.

    Raises:
        OSError: It names ``shown``.
    """
    return _at_once(top, below, shown) if has_openat2() else walk(top, below, shown)


def _at_once(top: int, below: bytes, shown: bytes) -> int:
    handle: int = _libc.syscall(_NUMBER, top, below, _ADDRESS, _SIZE)
    if handle < 0:
        raise _fault(ctypes.get_errno(), shown)
    return handle


def walk(top: int, below: bytes, shown: bytes) -> int:
    """Do what ``enter`` does, without ``openat2``."""
    handle, device = os.dup(top), os.fstat(top).st_dev
    for name in below.split(b"/") if below != b"." else ():
        above = handle
        try:
            handle = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            is_link = error.errno == errno.ENOTDIR and _is_link(name, above)
            raise _fault(errno.ELOOP if is_link else error.errno or 0, shown) from error
        finally:
            os.close(above)
        if os.fstat(handle).st_dev != device:
            os.close(handle)
            raise _fault(errno.EXDEV, shown)
    return handle


def _is_link(name: bytes, above: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=above).st_mode)
    except OSError:
        return False


def _fault(number: int, shown: bytes) -> OSError:
    words = {
        errno.ELOOP: "there is a symbolic link; remove it",
        errno.ENOTDIR: "not a folder",
        errno.EXDEV: "another file system is mounted there, and files cannot be moved into it",
    }
    return OSError(number, words.get(number) or os.strerror(number), shown)


@cache
def has_openat2() -> bool:
    """Whether the kernel has ``openat2``, and a filter of system calls lets us use it."""
    here = os.open(b"/", FOLDER)
    try:
        os.close(_at_once(here, b".", b"/"))
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(here)
