"""One identity: which content of a path a notice tells of, where the storage names its contents itself.

A storage with versions (dCache's pnfsid, an S3 version) gives each content a name for ever, so most
notices need no memory: equal path and version, equal id. The ledger's row of the path settles the rest:

1. Two versions are the same content if they are equal, never otherwise.
2. A notice without a version and a content with one are the same if nothing contradicts (size and
   modification time, where both are known, are equal), the storage's times of both lie at most ``JOIN_S``
   apart, and the content was not joined before: one write raises one notice of each sort.
3. Two notices without a version are the same only if their ids are.
4. Content is told under the id it was first told under; its version is added to the row when it is known.
5. Content that is older than the present one, and the end of other content, change no row. What is gone is
   replaced by any other content: its end may have been timed by another clock.
6. Content that was moved away and comes back is told again: its ids count its comings, from the third
   generation of the row on. Only who sees that it is there now may say so (``returned_id``).

Where rule 2 errs, content is told twice. It can hide content only if a path was written twice within that
time and both notices that would have told them apart were lost; a listing, which knows versions, tells it.

A row of such a storage uses the fields of ``FileState`` so: ``version`` its name, empty while unknown;
``size`` -1 while unknown; ``ctime_ns`` the storage's time of the notice that told of it; ``generation`` how
many sorts of notices (with and without version) told of it, and from 3 on how often it came; ``event_id``
the id under which the content was told, empty if it was there before anybody asked.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from penstock.core.event import (
    FILE_DELETED,
    FILE_MOVED,
    NEW_CONTENT,
    Event,
    FileFacts,
    content_id,
    file_facts,
    notice_id,
)
from penstock.core.ledger import raw_path
from penstock.core.rows import FileState

JOIN_S = 300
"""Seconds between the storage's times of two notices of one write, at most, if one lacks the version."""
_GONE = frozenset({FILE_DELETED, FILE_MOVED})
_UNKNOWN = -1
_JOINED = 2


class Folded(Struct, frozen=True, kw_only=True):
    """What an event means to the ledger.

    Attributes:
        row: The row as it is from now on, or None if it stays as it is.
        known: Whether an event before told the same; nothing is to be started again.
        content: The id under which this content was told first; empty for events about no content.
    """

    row: FileState | None = None
    known: bool = False
    content: str = ""


def version_gone_id(storage: str, path: bytes, version: str) -> str:
    """Return the event id of the end of a path's content, whether deleted, moved away or found missing."""
    return notice_id(storage, "gone", path, version.encode())


def returned_id(row: FileState) -> str:
    """Return the event id of content that is there again, though its end was told."""
    coming = max(row.generation, _JOINED) + 1
    return content_id(row.storage, row.path, f"{row.version}#{coming}")


def end_id(row: FileState) -> str:
    """Return the event id of the end of what a row with a version knows."""
    version = row.version if row.generation <= _JOINED else f"{row.version}#{row.generation}"
    return version_gone_id(row.storage, row.path, version)


def unversioned_id(storage: str, path: bytes, *native: bytes) -> str:
    """Return the event id of new content of which only a notice is known; ``native`` names the notice."""
    return notice_id(storage, "unversioned", path, *native)


def fold(before: FileState | None, event: Event, offset: int = 0) -> Folded:
    """Return what an event of a storage with versions of its own means, by the rules above. Pure.

    Args:
        before: The ledger's row of the event's path.
        event: Of any type; those about no content mean nothing.
        offset: The event's place in the log.
    """
    if event.type not in NEW_CONTENT and event.type not in _GONE:
        return Folded()
    record = file_facts(event)
    if record is None or record.generation is not None:
        return Folded()
    fresh = _row(record, event, offset)
    return _content(before, fresh) if event.type in NEW_CONTENT else _end(before, fresh)


def _row(record: FileFacts, event: Event, offset: int) -> FileState:
    content = event.type in NEW_CONTENT
    return FileState(
        storage=record.storage,
        path=raw_path(record),
        generation=1,
        size=_UNKNOWN if record.size is None else record.size,
        mtime_ns=record.mtime_ns or 0,
        ctime_ns=_nanoseconds(event.time),
        inode=0,
        present=content,
        event_id=event.id if content else "",
        version=record.version or "",
        offset=offset,
    )


def _content(before: FileState | None, fresh: FileState) -> Folded:
    if before is None:
        return Folded(row=fresh, content=fresh.event_id)
    if fresh.version and not before.present and fresh.event_id == returned_id(before):
        row = replace(fresh, generation=max(before.generation, _JOINED) + 1)
        return Folded(row=row, content=fresh.event_id)
    if before.event_id == fresh.event_id or (fresh.version and before.version == fresh.version):
        return _same(before, fresh)
    if _joinable(before, fresh):
        version = before.version or fresh.version
        row = replace(_with_facts(before, fresh), version=version, generation=_JOINED)
        return Folded(row=row, known=True, content=before.event_id)
    older = before.present and before.ctime_ns > fresh.ctime_ns
    return Folded(row=None if older else fresh, content=fresh.event_id)


def _same(before: FileState, fresh: FileState) -> Folded:
    if not before.event_id:
        row = replace(_with_facts(before, fresh), event_id=fresh.event_id)
        return Folded(row=row, content=fresh.event_id)
    row = _with_facts(before, fresh)
    return Folded(row=None if row == before else row, known=True, content=before.event_id)


def _with_facts(before: FileState, fresh: FileState) -> FileState:
    size = fresh.size if before.size == _UNKNOWN else before.size
    return replace(
        before, size=size, mtime_ns=before.mtime_ns or fresh.mtime_ns, offset=max(before.offset, fresh.offset)
    )


def _joinable(before: FileState, fresh: FileState) -> bool:
    return (
        before.present
        and bool(before.event_id)
        and before.generation < _JOINED
        and bool(before.version) != bool(fresh.version)
        and (before.size == fresh.size or _UNKNOWN in (before.size, fresh.size))
        and (before.mtime_ns == fresh.mtime_ns or 0 in (before.mtime_ns, fresh.mtime_ns))
        and _near(before, fresh)
    )


def _end(before: FileState | None, fresh: FileState) -> Folded:
    if before is None:
        return Folded(row=fresh if fresh.version else None)
    if before.version and fresh.version and before.version != fresh.version:
        return Folded()  # Of other content than the last that is known: a fact, but about the past.
    if before.present:
        older = not fresh.version and fresh.ctime_ns < before.ctime_ns
        ended = replace(
            before,
            present=False,
            ctime_ns=fresh.ctime_ns,
            version=before.version or fresh.version,
            offset=fresh.offset,
        )
        return Folded(row=None if older else ended)
    sure = bool(before.version and fresh.version)
    return Folded(known=sure or _near(before, fresh))


def _near(before: FileState, fresh: FileState) -> bool:
    return abs(before.ctime_ns - fresh.ctime_ns) <= JOIN_S * 1_000_000_000


def _nanoseconds(time: str | None) -> int:
    if time is None:
        return 0
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1e6) * 1000
    except (ValueError, OverflowError):
        return 0
