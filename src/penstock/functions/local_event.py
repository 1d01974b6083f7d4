"""What the server would make of a file: the event of its birth, and its place as a step is given it."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.core import event as events

ENDPOINT = "file://localhost"
STORAGE = "local"


def event_for(file: Path) -> events.Event:
    """Return the event that the folder source would make of ``file`` the first time it sees it."""
    path, stat = os.fsencode(file.absolute()), file.stat()
    record = events.FileRecord(
        storage=STORAGE,
        size=stat.st_size,
        version="1",
        generation=1,
        mtime_ns=stat.st_mtime_ns,
        ctime_ns=stat.st_ctime_ns,
        inode=stat.st_ino,
        owner={"uid": stat.st_uid, "gids": [stat.st_gid]},
        origin={"notice": "test"},
        **events.path_members(path),  # type: ignore[arg-type]
    )
    return events.Event(
        id=events.content_id(STORAGE, path, "1"),
        source=f"/storages/{STORAGE}",
        type=events.FILE_CREATED,
        subject=events.subject_of(path),
        time=events.rfc3339(stat.st_mtime),
        partitionkey=events.subject_of(os.path.dirname(path)),
        datacontenttype="application/json",
        dataschema=events.DATASCHEMA,
        data=events.json_data(record),
    )


def place_of(file: Path) -> dict[str, str]:
    """Return endpoint and path of a local file."""
    return {"endpoint": ENDPOINT, **events.path_members(os.fsencode(file))}
