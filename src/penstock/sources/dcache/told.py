"""What a look at the namespace tells: contents, ends and moves, under the ids that billing gives them."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Raw

from penstock.core.event import (
    DATASCHEMA,
    FILE_CREATED,
    FILE_DELETED,
    FILE_MOVED,
    FILE_READ,
    Event,
    FileRecord,
    content_id,
    json_data,
    notice_id,
    rfc3339,
    subject_of,
)
from penstock.core.identity import end_id, unversioned_id
from penstock.core.rows import FileState
from penstock.sources.dcache.frontend import Attributes, Described
from penstock.sources.dcache.paths import subject_and_key


class Teller:
    """Makes the events of one storage; paths are those of the namespace."""

    def __init__(self, storage: str) -> None:
        self._storage = storage

    def content(
        self,
        path: str,
        described: Described,
        origin: Raw | None,
        *,
        moved_from: str | None = None,
        identity: str = "",
    ) -> Event:
        """Tell of the content that is at a path now.

        Args:
            path: Where.
            described: What the namespace says.
            origin: The notice that made us look, or None for a listing.
            moved_from: Where it was before.
            identity: Its id, where that is not made of path and version alone.
        """
        found = described.attributes
        identity = identity or content_id(self._storage, path.encode(), found.pnfsId)
        native: dict[str, Any] = {"namespace": described.raw}
        native |= {"notice": "listed"} if origin is None else {"inotify": origin}
        record = FileRecord(
            storage=self._storage,
            path=path,
            size=found.size,
            version=found.pnfsId,
            mtime_ns=found.mtime * 1_000_000,
            checksum={each.type.lower(): each.value for each in found.checksums} or None,
            owner=_owner(found),
            moved_from=moved_from,
            origin=native,
        )
        return self._event(identity, FILE_CREATED, path, record, found.mtime / 1000)

    def unseen(self, path: str, origin: Raw, native: bytes) -> Event:
        """Tell of content that the namespace does not let us see: without version, size and times."""
        record = FileRecord(storage=self._storage, path=path, origin={"inotify": origin})
        identity = unversioned_id(self._storage, path.encode(), native)
        return self._event(identity, FILE_CREATED, path, record, time.time())

    def gone(
        self,
        path: str,
        row: FileState,
        origin: Raw | None = None,
        native: bytes = b"missing",
        moved_to: str | None = None,
    ) -> Event:
        """Tell that the content that ``row`` knows at a path was deleted, moved away, or is missing."""
        said: dict[str, Any] = {"notice": "missing"} if origin is None else {"inotify": origin}
        if moved_to is not None:
            said["moved_to"] = subject_of(moved_to.encode())
        identity = end_id(row) if row.version else notice_id(self._storage, "gone", path.encode(), native)
        record = FileRecord(storage=self._storage, path=path, version=row.version or None, origin=said)
        kind = FILE_DELETED if moved_to is None else FILE_MOVED
        return self._event(identity, kind, path, record, time.time())

    def folder_moved(self, old: str, new: str, origin: Raw, native: bytes) -> Event:
        """Tell that a folder was renamed; its files at their new paths are told of by themselves."""
        said = {"inotify": origin, "folder": True, "moved_to": subject_of(new.encode())}
        identity = notice_id(self._storage, "folder-moved", old.encode(), new.encode(), native)
        return self._event(
            identity,
            FILE_MOVED,
            old,
            FileRecord(storage=self._storage, path=old, origin=said),
            time.time(),
        )

    def read(self, path: str, version: str, origin: Raw, native: bytes) -> Event:
        """Tell that a file was read."""
        record = FileRecord(
            storage=self._storage, path=path, version=version or None, origin={"inotify": origin}
        )
        identity = notice_id(self._storage, "read", path.encode(), native)
        return self._event(identity, FILE_READ, path, record, time.time())

    def _event(self, identity: str, kind: str, path: str, record: FileRecord, seconds: float) -> Event:
        subject, key = subject_and_key(path)
        return Event(
            id=identity,
            source=f"/storages/{self._storage}",
            type=kind,
            subject=subject,
            time=rfc3339(seconds),
            partitionkey=key,
            datacontenttype="application/json",
            dataschema=DATASCHEMA,
            data=json_data(record),
        )


def _owner(found: Attributes) -> dict[str, Any] | None:
    owner: dict[str, Any] = {} if found.owner is None else {"uid": found.owner}
    return owner | ({} if found.group is None else {"gids": [found.group]}) or None
