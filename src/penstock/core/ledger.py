"""The ledger: which content of each path is known, and how that is read off the log again.

A file source numbers the contents of each path (``generation``, from 1). A row of the ledger can
be derived from the event that raised it, so a ledger folded from the log is as good as a kept one.

Before its first listing a source writes one row for the watched folder itself, the *baseline*: files
older than it were there before anybody asked for events.
"""

from __future__ import annotations

from base64 import b64decode

from penstock.core.event import (
    FILE_ATTRIBUTES_CHANGED,
    FILE_CREATED,
    FILE_DELETED,
    FILE_MOVED,
    FILE_UPDATED,
    Event,
    FileFacts,
    FileRecord,
    content_id,
    file_facts,
    notice_id,
)
from penstock.core.rows import FileState

_PRESENT_AFTER = {
    FILE_CREATED: True,
    FILE_UPDATED: True,
    FILE_ATTRIBUTES_CHANGED: True,
    FILE_DELETED: False,
    FILE_MOVED: False,
}
_BASELINE_BEGUN, _BASELINE_DONE = 0, 1


def version_of(generation: int) -> str:
    """Return the version that names a path's content of this generation."""
    return f"g{generation}"


def generation_id(storage: str, path: bytes, generation: int) -> str:
    """Return the event id of a path's content of this generation, however it was noticed."""
    return content_id(storage, path, version_of(generation))


def gone_id(storage: str, path: bytes, generation: int) -> str:
    """Return the event id of the end of a path's content, whether deleted, moved away or found missing."""
    return notice_id(storage, "gone", path, version_of(generation).encode())


def attributes_id(storage: str, path: bytes, generation: int, ctime_ns: int) -> str:
    """Return the event id of a change of attributes."""
    return notice_id(storage, "attributes", path, version_of(generation).encode(), b"%d" % ctime_ns)


def raw_path(record: FileRecord | FileFacts) -> bytes:
    """Return the path's bytes, undecodable ones included."""
    return b64decode(record.path_raw) if record.path_raw is not None else record.path.encode()


def file_state(event: Event, offset: int = 0) -> FileState | None:
    """Return the ledger's row that this event of a file source, at this place in the log, stands for.

    Returns:
        The row, or None if the event changes nothing in the ledger (another kind of event, a
        folder's move, a storage that does not number contents).
    """
    present = _PRESENT_AFTER.get(event.type)
    record = None if present is None else file_facts(event)
    if present is None or record is None or record.generation is None:
        return None
    path = raw_path(record)
    return FileState(
        storage=record.storage,
        path=path,
        generation=record.generation,
        size=record.size or 0,
        mtime_ns=record.mtime_ns or 0,
        ctime_ns=record.ctime_ns or 0,
        inode=record.inode or 0,
        present=present,
        event_id=generation_id(record.storage, path, record.generation),
        offset=offset,
    )


def identity_of(filesystem: int, inode: int) -> str:
    """Return what a folder is recognised by after a restart: its file system's own id, and its inode."""
    return f"{filesystem:x}/{inode}"


def baseline(
    storage: str, folder: bytes, since_ns: int, inode: int, identity: str = "", *, done: bool
) -> FileState:
    """Return the row that says since when a folder is watched, and whether it was listed once.

    ``identity`` (see ``identity_of``) is kept as its version.
    """
    return FileState(
        storage=storage,
        path=folder,
        generation=0,
        size=_BASELINE_DONE if done else _BASELINE_BEGUN,
        mtime_ns=since_ns,
        ctime_ns=since_ns,
        inode=inode,
        present=False,
        version=identity,
    )


def is_listed(row: FileState) -> bool:
    """Whether a baseline's first listing was finished."""
    return row.size == _BASELINE_DONE
