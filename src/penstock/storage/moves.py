"""The two blocking halves of a publication: files to the storage, then each to its place.

Both may be done again after a crash, or after a wait for the disk, and change nothing then.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from getpass import getuser

import msgspec

from penstock.core.errors import Failed, Forbidden, Superseded, Unavailable
from penstock.core.event import NEW_CONTENT, Event, FileRecord, file_record, path_of
from penstock.core.ports import Publication
from penstock.core.rows import Intent
from penstock.storage.files import bring, make_folder, remove_empty, sync_folder

STORAGE_SOURCE = "/storages/"
PRIVATE = ".penstock"
"""Folder in a storage's root that holds attempts; sources leave it out."""
PASSING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
    }
)
"""Errors that pass when room is made or the disk is back."""

Moves = list[tuple[bytes, bytes]]
_moves = msgspec.msgpack.Decoder(Moves)


def attempt_folder(key: str, root: bytes) -> bytes:
    """Return where an attempt's files wait to be moved into place."""
    return os.path.join(root, PRIVATE.encode(), b"attempts", key.replace("/", "-").encode())


def moves_of(intent: Intent) -> Moves:
    """Return what moves where; nothing for an intent that is done."""
    return _moves.decode(intent.moves) if intent.moves else []


def collect(publication: Publication, root: bytes, targets: list[bytes]) -> Moves:
    """Check the input, and move the files to the attempt's folder (blocking); once more changes nothing."""
    _check_root(root)
    why = stale(publication.event)
    if why is not None and os.path.lexists(path_of(publication.event.subject or "")):
        raise Superseded(why)  # what was moved or deleted meanwhile was read whole, and its result stands
    with _naming(root):
        for target in targets:
            _check_target(root, target)
        make_private(root)
        folder = attempt_folder(publication.key, root)
        moves = []
        for name, target in zip(publication.files, targets, strict=True):
            source = os.path.join(os.fsencode(publication.folder), os.fsencode(name))
            kept = os.path.join(folder, os.fsencode(name))
            make_folder(os.path.dirname(kept))
            bring(source, kept)
            moves.append((kept, target))
        for place in {os.path.dirname(kept) for kept, _ in moves}:
            sync_folder(place)
    return moves


def _check_root(root: bytes) -> None:
    """A storage that is not mounted must not be written to: what is there now is another disk."""
    if not os.path.isdir(root):
        raise Unavailable(
            f"the storage's folder {root.decode('utf-8', 'replace')} is not there. Nothing is lost; put it "
            "back (mount it) and outputs go there by themselves"
        )


def make_private(root: bytes) -> bytes:
    """Return the folder of all attempts in a storage, made for us alone; somebody may have put a link there.

    Raises:
        OSError: It is a link to elsewhere.
    """
    private = os.path.join(root, PRIVATE.encode())
    attempts = os.path.join(private, b"attempts")
    if os.path.realpath(attempts) != os.path.join(os.path.realpath(root), PRIVATE.encode(), b"attempts"):
        raise OSError(errno.ELOOP, "there is a symbolic link; remove it", os.fsdecode(attempts))
    if not os.path.isdir(private):
        with suppress(FileExistsError):
            os.mkdir(private, 0o700)
    make_folder(attempts)
    return attempts


def _check_inside(root: bytes, folder: bytes) -> None:
    """A link that somebody made in the storage must not lead outputs out of it, nor among the attempts."""
    root, there = os.path.realpath(root), os.path.realpath(folder)
    if there != root and not there.startswith(root.rstrip(b"/") + b"/"):
        raise OSError(
            errno.ELOOP, "a symbolic link leads out of the storage, and outputs do not follow it", folder
        )


def _check_target(root: bytes, target: bytes) -> None:
    """Find out now whether the move into place can work: afterwards there is no way back."""
    folder = os.path.dirname(target)
    _check_inside(root, folder)
    make_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, "no permission to write", os.fsdecode(folder))
    if os.path.isdir(target) and not os.path.islink(target):
        raise IsADirectoryError(
            errno.EISDIR, "a folder stands where the output should be", os.fsdecode(target)
        )


@contextmanager
def _naming(root: bytes) -> Iterator[None]:
    """Tell what passes by itself from what a person must repair."""
    try:
        yield
    except OSError as error:
        place = os.fsencode(error.filename2 or error.filename or root).decode("utf-8", "replace")
        why = f"outputs cannot be written to {place}: {error.strerror or error}"
        if error.errno in PASSING:
            raise Unavailable(f"{why}. Nothing is lost; make room and it goes on by itself") from error
        raise Forbidden(
            f"{why}. Let the user that runs Penstock ({getuser()}) write there, or change the template of "
            "the outputs; then run it again (`penstock dead-letters`)"
        ) from error


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


def move_all(root: bytes, moves: Moves) -> None:
    """Rename each file to its place; one that is already there was moved before (blocking).

    Every error but a lost file is worth waiting for: the promise to publish stands.
    """
    _check_root(root)
    try:
        for source, target in moves:
            _check_inside(root, os.path.dirname(target))
            make_folder(os.path.dirname(target))
            try:
                os.replace(source, target)
            except FileNotFoundError as error:
                if not os.path.lexists(target):
                    raise Failed(
                        f"{os.fsdecode(source)!r} was to be published as {os.fsdecode(target)!r} and is gone"
                    ) from error
        sync_names(moves)
        for source, _ in moves:
            remove_empty(os.path.dirname(source), b"attempts")
    except OSError as error:
        raise Unavailable(
            f"outputs cannot be moved into place: {error}. Nothing is lost; "
            "repair it and it goes on by itself"
        ) from error


def sync_names(moves: Moves) -> None:
    """Make the new names durable."""
    for folder in {os.path.dirname(target) for _, target in moves}:
        sync_folder(folder)
