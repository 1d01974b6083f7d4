"""What is told of a file: the event and the ledger's row for each kind of change. No I/O but the clock's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from msgspec.structs import replace

from penstock.core.event import (
    DATASCHEMA,
    FILE_ATTRIBUTES_CHANGED,
    FILE_CREATED,
    FILE_DELETED,
    FILE_MOVED,
    FILE_UPDATED,
    Event,
    FileRecord,
    json_data,
    notice_id,
    path_members,
    rfc3339,
    subject_of,
)
from penstock.core.ledger import attributes_id, generation_id, gone_id, version_of
from penstock.core.rows import FileState

Published = Callable[[bytes, os.stat_result], tuple[str, int] | None]
"""``(path, state of the file)`` to ``(run, depth)`` of the run that has just published it, else None."""
Told = tuple[Event, FileState]
MOVED_WITH_FOLDER = "moved-with-folder"
"""The notice of a file whose folder was renamed."""


class Describer:
    """Makes the events of one storage."""

    def __init__(self, storage: str, published: Published, moved: Published) -> None:
        self._storage = storage
        self._source = f"/storages/{storage}"
        self._published = published
        self._moved = moved

    def content(
        self,
        path: bytes,
        stat: os.stat_result,
        before: FileState | None,
        notice: str,
        moved_from: bytes | None = None,
    ) -> Told:
        """Tell of new content at ``path``; the generation follows on what was known ``before``."""
        row = self._row(path, stat, before)
        kind = FILE_UPDATED if before is not None and before.present else FILE_CREATED
        made = self._published(path, stat)
        if made is None and moved_from is not None and notice == MOVED_WITH_FOLDER:
            made = self._moved(moved_from, stat)
        cause, depth = made or (None, None)
        record = self._record(row, notice, stat, moved_from=moved_from)
        return self._event(row.event_id, kind, row.path, record, stat.st_mtime, cause, depth), row

    def untold(self, path: bytes, stat: os.stat_result) -> FileState:
        """Return the row for content of which nobody is told: it has no event, so no event's id."""
        return replace(self._row(path, stat, None), event_id="")

    def _row(self, path: bytes, stat: os.stat_result, before: FileState | None) -> FileState:
        generation = 1 if before is None else before.generation + 1
        return FileState(
            storage=self._storage,
            path=path,
            generation=generation,
            size=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            ctime_ns=stat.st_ctime_ns,
            inode=stat.st_ino,
            present=True,
            event_id=generation_id(self._storage, path, generation),
        )

    def gone(self, before: FileState, notice: str, moved_to: bytes | None = None) -> Told:
        """Tell that the content at a path was deleted, moved away, or is missing."""
        kind = FILE_DELETED if moved_to is None else FILE_MOVED
        origin = (
            {"notice": notice} if moved_to is None else {"notice": notice, "moved_to": subject_of(moved_to)}
        )
        identity = gone_id(self._storage, before.path, before.generation)
        record = self._record(before, notice, origin=origin)
        row = replace(before, present=False, event_id=self._content_id(before))
        return self._event(identity, kind, before.path, record, time.time()), row

    def attributes(self, before: FileState, stat: os.stat_result, notice: str) -> Told:
        """Tell that owner, mode, times or links changed, and the content did not."""
        content = self._content_id(before)
        row = replace(before, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns, event_id=content)
        identity = attributes_id(self._storage, row.path, row.generation, row.ctime_ns)
        record = self._record(row, notice, stat)
        return self._event(identity, FILE_ATTRIBUTES_CHANGED, row.path, record, stat.st_ctime), row

    def folder_moved(self, old: bytes, new: bytes, stat: os.stat_result) -> Event:
        """Tell that a folder was renamed; events of its files at their new paths follow."""
        native = (old, new, b"%d" % stat.st_ino, b"%d" % stat.st_ctime_ns)
        identity = notice_id(self._storage, "folder-moved", *native)
        origin = {"notice": "folder-moved", "folder": True, "moved_to": subject_of(new)}
        text = path_members(old)
        record = FileRecord(
            storage=self._storage,
            path=text["path"],
            path_raw=text.get("path_raw"),
            inode=stat.st_ino,
            origin=origin,
        )
        return self._event(identity, FILE_MOVED, old, record, stat.st_ctime)

    def listed(self, row: FileState, stat: os.stat_result) -> Event:
        """Tell of content that is known already, under the id that it has."""
        record = self._record(row, "listed", stat)
        return self._event(self._content_id(row), FILE_CREATED, row.path, record, stat.st_mtime)

    def _content_id(self, row: FileState) -> str:
        return generation_id(self._storage, row.path, row.generation)

    def _record(
        self,
        row: FileState,
        notice: str,
        stat: os.stat_result | None = None,
        *,
        moved_from: bytes | None = None,
        origin: dict[str, str] | None = None,
    ) -> FileRecord:
        text = path_members(row.path)
        return FileRecord(
            storage=self._storage,
            path=text["path"],
            path_raw=text.get("path_raw"),
            size=row.size,
            version=version_of(row.generation),
            generation=row.generation,
            mtime_ns=row.mtime_ns,
            ctime_ns=row.ctime_ns,
            inode=row.inode,
            owner=None if stat is None else {"uid": stat.st_uid, "gids": [stat.st_gid]},
            moved_from=None if moved_from is None else moved_from.decode("utf-8", "replace"),
            origin=origin or {"notice": notice},
        )

    def _event(
        self,
        identity: str,
        kind: str,
        path: bytes,
        record: FileRecord,
        seconds: float,
        cause: str | None = None,
        depth: int | None = None,
    ) -> Event:
        subject = subject_of(path)
        return Event(
            id=identity,
            source=self._source,
            type=kind,
            subject=subject,
            time=rfc3339(seconds),
            partitionkey=subject[: subject.rfind("/")] or "/",
            datacontenttype="application/json",
            dataschema=DATASCHEMA,
            data=json_data(record),
            cause=cause,
            depth=depth,
        )
