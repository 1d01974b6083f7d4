"""What is known of a path: its storage, whether it exists, is ignored, was seen, was published."""

from __future__ import annotations

import asyncio
import os

from msgspec.structs import replace

from penstock.core.event import FILE_CREATED, Event, FileRecord, json_data, path_members, subject_of
from penstock.server.api.desk import Desk
from penstock.server.api.shapes import FileAccount
from penstock.server.settings import StorageSettings
from penstock.sources.folder_settings import FolderSettings
from penstock.sources.ignore import Ignore
from penstock.storage.publish import PRIVATE


async def file_account(desk: Desk, path: bytes) -> FileAccount:
    """Return what is known of a file."""
    storage = storage_of(desk, path)
    known = await desk.state.file(storage.name, path) if storage is not None else None
    output = await desk.state.output(path)
    exists = await asyncio.get_running_loop().run_in_executor(None, os.path.lexists, path)
    return FileAccount(
        path=path.decode("utf-8", "replace"),
        storage=storage.name if storage is not None else "",
        exists=exists,
        ignored=storage is not None and is_ignored(storage, path),
        known=known is not None and known.present,
        generation=known.generation if known is not None else 0,
        published_by=output.run if output is not None and output.tenant == desk.tenant else "",
    )


def storage_of(desk: Desk, path: bytes) -> StorageSettings | None:
    """Return the storage that a path is in; the innermost, if folders are nested."""
    inside = [
        storage
        for storage in desk.settings.storages
        if path.startswith(os.path.realpath(os.fsencode(storage.folder)).rstrip(b"/") + b"/")
    ]
    return max(inside, key=lambda storage: len(storage.folder), default=None)


def is_ignored(storage: StorageSettings, path: bytes) -> bool:
    """Whether the storage's source leaves a path out, as it does all below a folder that it leaves out."""
    ignore = Ignore((*FolderSettings(folder=storage.folder).ignore, PRIVATE, *storage.ignore))
    root = os.path.realpath(os.fsencode(storage.folder)).rstrip(b"/") + b"/"
    below = b""
    for name in path.removeprefix(root).split(b"/"):
        if ignore(below, name):
            return True
        below += name + b"/"
    return False


def why_no_event(desk: Desk, file: FileAccount) -> str:
    """Return why the log has no event about a file, in a sentence."""
    if file.exists and os.path.isdir(file.path):
        return f"{file.path} is a folder; events are about files, name one in it"
    if not file.storage:
        folders = ", ".join(storage.folder for storage in desk.settings.storages) or "none"
        return f"{file.path} is in no storage; watched are: {folders}"
    if file.ignored:
        return f"{file.path} is ignored: storage {file.storage!r} leaves out its name, or a folder above it"
    if file.known:
        return f"{file.path} is known, but its event is not among the newest of the log any more"
    if not file.exists:
        return f"{file.path} does not exist, and the log has no event about it"
    return (
        f"{file.path} exists, but there is no event about it: it was there before the storage was "
        "watched, is still being written, or is no plain file. `--existing` starts a trigger with what "
        "is there"
    )


def would_be(path: bytes, storage: str) -> Event:
    """Return the event that a new file at ``path`` would raise (blocking)."""
    return Event(
        id="none yet",
        source=f"/storages/{storage or 'none'}",
        type=FILE_CREATED,
        subject=subject_of(path),
        data=json_data(_record(path, storage)),
    )


def _record(path: bytes, storage: str) -> FileRecord:
    members = path_members(path)
    record = FileRecord(storage=storage, path=members["path"], path_raw=members.get("path_raw"))
    try:
        found = os.lstat(path)
    except OSError:
        return record
    return replace(
        record,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        owner={"uid": found.st_uid, "gids": [found.st_gid]},
    )
