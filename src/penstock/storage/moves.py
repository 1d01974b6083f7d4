"""The two blocking halves of a publication: files to the storage, then each to its place.

Both may be done again after a crash, or after a wait for the disk, and change nothing then. Both work in
folders that they have opened (``beneath``), in a root that they have recognised (``place``).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from penstock.core.errors import Failed, Superseded
from penstock.core.event import NEW_CONTENT, Event, FileRecord, file_record, path_of
from penstock.core.ports import Publication
from penstock.core.rows import Intent
from penstock.storage.attempts import attempt_folder, attempts_of, remove_empty
from penstock.storage.beneath import FOLDER, Folders
from penstock.storage.faults import about, after_the_promise, before_the_promise
from penstock.storage.files import Spot, bring, rename, settle
from penstock.storage.place import Place

STORAGE_SOURCE = "/storages/"
MODE = 0o777
"""Of folders that are made for outputs; the process's umask takes its part."""

Moves = list[tuple[bytes, bytes]]
_moves = msgspec.msgpack.Decoder(Moves)


def moves_of(intent: Intent) -> Moves:
    """Return what moves where; nothing for an intent that is done."""
    return _moves.decode(intent.moves) if intent.moves else []


def collect(publication: Publication, place: Place, targets: list[bytes]) -> tuple[Moves, list[int]]:
    """Check the input, and move the files to the attempt's folder (blocking); once more changes nothing.

    Returns:
        What is to be moved where, and the files' inodes.
    """
    with place.opened() as top:
        why = stale(publication.event)
        if why is not None and os.path.lexists(path_of(publication.event.subject or "")):
            raise Superseded(why)  # what was moved or deleted meanwhile was read whole, and its result stands
        with before_the_promise(place.path):
            with Folders(top, place.path, MODE, links=True) as folders:
                for target in targets:
                    _check_target(folders, target)
            return _bring_all(publication, top, place, targets)


def _check_target(folders: Folders, target: bytes) -> None:
    """Find out now whether the move into place can work: afterwards there is no way back."""
    above, _, name = target.rpartition(b"/")
    folder = folders.open(above)
    if not os.access(b".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        raise PermissionError(errno.EACCES, "no permission to write", above)
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder stands where the output should be", target)


def _bring_all(
    publication: Publication, top: int, place: Place, targets: list[bytes]
) -> tuple[Moves, list[int]]:
    moves: Moves = []
    inodes = []
    scratch, folder = os.fsencode(publication.folder), attempt_folder(publication.key, place.path)
    with _written(scratch) as written, attempts_of(top, place) as attempts:
        for name, target in zip(map(os.fsencode, publication.files), targets, strict=True):
            kept = os.path.join(folder, name)
            inodes.append(_bring(written, os.path.join(scratch, name), attempts, kept))
            moves.append((kept, target))
        for above in {os.path.dirname(kept) for kept, _ in moves}:
            os.fsync(attempts.open(above))
    return moves, inodes


@contextmanager
def _written(scratch: bytes) -> Iterator[Folders | None]:
    """Open the folder that the attempt wrote to; None if it is gone: then all was brought before."""
    try:
        handle = os.open(scratch, FOLDER | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        with Folders(handle, scratch) as folders:
            yield folders
    finally:
        os.close(handle)


def _bring(written: Folders | None, source: bytes, attempts: Folders, kept: bytes) -> int:
    spot = _spot(attempts, kept)
    with about(source):
        try:
            if written is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return bring(_spot(written, source), spot)
        except FileNotFoundError:
            if not spot.exists:
                raise
            return settle(spot)


def _spot(folders: Folders, path: bytes) -> Spot:
    above, _, name = path.rpartition(b"/")
    return Spot(folders.open(above), name)


def stale(event: Event) -> str | None:
    """Say whether the content that the event tells of is no longer there."""
    if not event.source.startswith(STORAGE_SOURCE) or event.type not in NEW_CONTENT or event.subject is None:
        return None  # what outsiders call a file is none of ours
    record: FileRecord = file_record(event)
    try:
        stat = os.lstat(path_of(event.subject))
    except (OSError, ValueError):
        return f"{record.path} was moved or deleted before it could be worked on"
    if record.inode is None or record.mtime_ns is None:
        return None
    if (stat.st_ino, stat.st_mtime_ns, stat.st_size) == (record.inode, record.mtime_ns, record.size):
        return None
    return f"{record.path} has changed since the event; the newer content has its own event and run"


def move_all(place: Place, moves: Moves) -> None:
    """Rename each file to its place; one that is already there was moved before (blocking).

    Every error but a lost file is worth waiting for: the promise to publish stands.
    """
    with place.opened() as top, after_the_promise(), Folders(top, place.path) as kept:
        with Folders(top, place.path, MODE, links=True) as folders:
            for source, target in moves:
                _put(kept, source, _spot(folders, target), target)
            sync_names(folders, moves)
        for source, _ in moves:
            remove_empty(kept, os.path.dirname(source))


def sync_names(folders: Folders, moves: Moves) -> None:
    """Make the new names durable."""
    for folder in {os.path.dirname(target) for _, target in moves}:
        os.fsync(folders.open(folder))


def _put(kept: Folders, source: bytes, spot: Spot, target: bytes) -> None:
    try:
        waiting = _spot(kept, source)
    except FileNotFoundError:
        waiting = None
    if waiting is not None:
        try:
            with about(target):
                rename(waiting, spot)
            return
        except FileNotFoundError:
            if waiting.exists:  # the folder that it should go to was removed this moment: it is made again
                raise
    if not spot.exists:
        raise Failed(f"{os.fsdecode(source)!r} was to be published as {os.fsdecode(target)!r} and is gone")
