"""The kernel's inotify, read in whole batches. See inotify(7).

Paths are bytes. Nothing here waits: the descriptor is non-blocking, and readable when there is news.
"""

from __future__ import annotations

import ctypes
import errno
import os
from enum import IntFlag
from struct import Struct
from typing import NamedTuple

from penstock.core.errors import Refused


class Mask(IntFlag):
    """What a notice says, or a watch asks for."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x0100_0000
    DONT_FOLLOW = 0x0200_0000
    EXCL_UNLINK = 0x0400_0000
    ISDIR = 0x4000_0000


class Notice(NamedTuple):
    """One notice of the kernel; ``name`` is empty where the watched folder itself is meant."""

    watch: int
    mask: int
    cookie: int
    name: bytes


_HEADER = Struct("iIII")
_READ_BYTES = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


class Inotify:
    """One inotify instance.

    Raises:
        Refused: This user has too many instances already; the message names the limit.
    """

    def __init__(self) -> None:
        self.fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            number = ctypes.get_errno()
            if number == errno.EMFILE:
                raise Refused(
                    "no more inotify instances (or open files) for this user; raise the limit: "
                    "sudo sysctl fs.inotify.max_user_instances=1024"
                )
            raise Refused(f"inotify is not to be had here: {os.strerror(number)}")

    def add(self, folder: bytes, mask: int) -> int:
        """Watch a folder and return the watch's number; the same folder keeps its number.

        Raises:
            OSError: ``ENOSPC`` when the user's watches are used up; else as for opening the folder.
        """
        watch: int = _libc.inotify_add_watch(self.fd, folder, mask)
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
        return watch

    def remove(self, watch: int) -> None:
        """Stop watching; a watch that is gone already is none of our business."""
        _libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> bytes:
        """Return what is ready, up to 64 KiB; empty if nothing is."""
        try:
            return os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Drop all watches."""
        os.close(self.fd)


def parse(buffer: bytes) -> list[Notice]:
    """Return the notices in what ``read`` returned."""
    notices = []
    position, end = 0, len(buffer)
    unpack, size = _HEADER.unpack_from, _HEADER.size
    while position < end:
        watch, mask, cookie, length = unpack(buffer, position)
        position += size
        notices.append(Notice(watch, mask, cookie, buffer[position : position + length].rstrip(b"\0")))
        position += length
    return notices
