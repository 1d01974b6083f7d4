"""What the log asks of the file system (all of it blocks)."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from penstock.core.errors import Conflict
from penstock.log.segment import segment_path


def lock(folder: Path) -> int:
    """Return a lock on ``folder``: an open file; closing it gives the lock back.

    Raises:
        Conflict: Another process has it.
    """
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise Conflict(
            f"another process writes the log in {folder}; `penstock status` shows it, `penstock stop` ends it"
        ) from error
    return file


def create(path: Path) -> int:
    """Make a file that must not exist, durably, and open it for writing; on an error nothing stays."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fsync(file)
        sync_folder(path.parent)
    except OSError:
        os.close(file)
        path.unlink()
        raise
    return file


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_and_close(file: int) -> None:
    """Make a file's bytes durable, and close it."""
    try:
        os.fdatasync(file)
    finally:
        os.close(file)


def copy_segments(source: Path, target: Path, bases: Sequence[int], newest_bytes: int) -> None:
    """Copy segments to the new folder ``target``; of the newest only so many bytes.

    Those that retention removes meanwhile are left out, with all that are older.
    """
    target.mkdir(parents=True, mode=0o700)
    for base in reversed(bases):
        try:
            shutil.copyfile(segment_path(source, base), segment_path(target, base))
        except FileNotFoundError:
            break
        with open(segment_path(target, base), "r+b") as copied:
            if base == bases[-1]:
                copied.truncate(newest_bytes)
            os.fsync(copied.fileno())
    sync_folder(target)


def keep_rest(path: Path, position: int, kept: Path) -> None:
    """Copy what stands in ``path`` from ``position`` on to ``kept``."""
    with open(path, "rb") as source, open(kept, "wb") as target:
        source.seek(position)
        shutil.copyfileobj(source, target)
        os.fsync(target.fileno())
