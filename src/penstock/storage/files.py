"""Files moved between opened folders, so that they are there after a power cut (all of it blocks)."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import NamedTuple

SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
"""A program with these rights would run with ours, whoever starts it."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Spot(NamedTuple):
    """A name in an opened folder."""

    folder: int
    name: bytes

    @property
    def exists(self) -> bool:
        """Whether there is anything, a link that leads nowhere included."""
        try:
            os.lstat(self.name, dir_fd=self.folder)
        except FileNotFoundError:
            return False
        return True


def bring(source: Spot, target: Spot) -> int:
    """Move a file, also from another file system, make its bytes durable, and return its inode."""
    try:
        rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        os.unlink(source.name, dir_fd=source.folder)
    return settle(target)


def rename(source: Spot, target: Spot) -> None:
    """Put a file in its place at once, whatever was there."""
    os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def _copy(source: Spot, target: Spot) -> None:
    handle = os.open(source.name, _READ, dir_fd=source.folder)
    with open(handle, "rb") as read:
        mode = _plain(handle, source.name).st_mode
        try:
            with open(os.open(target.name, _WRITE, 0o600, dir_fd=target.folder), "wb") as written:
                shutil.copyfileobj(read, written)
                os.fchmod(written.fileno(), stat.S_IMODE(mode) & ~SPECIAL)
        except OSError:
            if target.exists:
                os.unlink(
                    target.name, dir_fd=target.folder
                )  # half a copy only takes the room that is missing
            raise


def settle(spot: Spot) -> int:
    """Make a file's bytes durable, take away rights that it could give to others, and return its inode."""
    handle = os.open(spot.name, _READ, dir_fd=spot.folder)
    try:
        state = _plain(handle, spot.name)
        if state.st_mode & SPECIAL:
            os.fchmod(handle, stat.S_IMODE(state.st_mode) & ~SPECIAL)
        os.fsync(handle)
    finally:
        os.close(handle)
    return state.st_ino


def _plain(handle: int, name: bytes) -> os.stat_result:
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is no plain file", name)
    return state
