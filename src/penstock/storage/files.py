"""Files and folders moved and made so that they are there after a power cut (all of it blocks)."""

from __future__ import annotations

import errno
import os
import shutil
import stat

SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
"""A program with these rights would run with ours, whoever starts it."""


def make_folder(folder: bytes) -> None:
    """Make a folder and those above it, each name durable."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    make_folder(above)
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", os.fsdecode(folder)) from None
    sync_folder(above)


def bring(source: bytes, target: bytes) -> None:
    """Move a file, also from another file system, and make its bytes durable; once more changes nothing."""
    try:
        os.rename(source, target)
        sync_file(target)
    except FileNotFoundError:
        if not os.path.lexists(target):
            raise
        sync_file(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        os.unlink(source)


def _copy(source: bytes, target: bytes) -> None:
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
        shutil.copymode(source, target, follow_symlinks=False)
        sync_file(target)
    except OSError:
        if os.path.lexists(target):
            os.unlink(target)  # half a copy only takes the room that is missing
        raise


def sync_file(path: bytes) -> None:
    """Make a file's bytes durable, and take away rights that it could give to others."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if mode & SPECIAL:
            os.fchmod(handle, stat.S_IMODE(mode) & ~SPECIAL)
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: bytes) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_empty(folder: bytes, end: bytes) -> None:
    """Remove empty folders from this one up to, not including, the one named ``end``."""
    while os.path.basename(folder) != end:
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)
