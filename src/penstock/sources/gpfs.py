"""Records of a clustered watch folder of IBM Storage Scale (GPFS), or its audit log, become events. Pure.

What each record means (a dash: it raises no event)::

    IN_CLOSE_WRITE   file.created             the file is complete
    IN_MOVED_FROM    file.moved               at the old path
    IN_MOVED_TO      file.created             at the new path; moved_from by the pair's cookie
    IN_DELETE        file.deleted
    IN_ATTRIB        file.attributes-changed
    IN_CLOSE_NOWRITE file.read
    IN_UNMOUNT, IN_IGNORED   the watch has ended: nothing more is told (a dead letter, and a loss)
    IN_CREATE IN_OPEN IN_MODIFY IN_ACCESS IN_DELETE_SELF IN_MOVE_SELF   -
    of a folder      -, but for moves: file.moved; what lies in it now is found by a listing (a loss)

Every node has its own producer: records of one file may come from several nodes, in any partition and order.
A record may come twice; its id is made of what both copies say. Content has no version of its own here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import (
    FILE_ATTRIBUTES_CHANGED,
    FILE_CREATED,
    FILE_DELETED,
    FILE_MOVED,
    FILE_READ,
    Event,
)
from penstock.sources.file_events import Storage, nanoseconds_of, rfc3339_of

PAIRS_MAX = 10_000
"""Moves whose first half is remembered, until the second comes, whose record may be in another partition."""
_Number = str | int | None

_KINDS = {
    "IN_CLOSE_WRITE": FILE_CREATED,
    "IN_MOVED_TO": FILE_CREATED,
    "IN_MOVED_FROM": FILE_MOVED,
    "IN_DELETE": FILE_DELETED,
    "IN_ATTRIB": FILE_ATTRIBUTES_CHANGED,
    "IN_CLOSE_NOWRITE": FILE_READ,
    "UNLINK": FILE_DELETED,
    "RENAME": FILE_CREATED,
    "XATTRCHANGE": FILE_ATTRIBUTES_CHANGED,
    "ACLCHANGE": FILE_ATTRIBUTES_CHANGED,
    "GPFSATTRCHANGE": FILE_ATTRIBUTES_CHANGED,
}
_SILENT = frozenset(
    {
        *("IN_CREATE", "IN_OPEN", "IN_MODIFY", "IN_ACCESS", "IN_DELETE_SELF", "IN_MOVE_SELF"),
        *("OPEN", "CREATE", "DESTROY", "RMDIR"),
    }
)
_ENDED = frozenset({"IN_UNMOUNT", "IN_IGNORED"})
_MOVES = frozenset({"IN_MOVED_FROM", "IN_MOVED_TO"})


class WatchEnded(Invalid):
    """The watch is gone: nothing that happens from then on is told."""


class FolderMoved(Struct, frozen=True):
    """A folder came to ``path`` with everything in it, of which nothing is told."""

    path: bytes
    reason: str


class Record(Struct, gc=False):
    """The members that events are made of; names are GPFS's, numbers may be texts."""

    event: str
    path: str
    eventTime: str | int | None = None
    WF_JSON: str | int | float | None = None
    LWE_JSON: str | int | float | None = None
    cookie: _Number = None
    clusterName: str | None = None
    nodeName: str | None = None
    nfsClientIp: str | None = None
    fsName: str | None = None
    inode: _Number = None
    fileSize: _Number = None
    ctime: str | int | None = None
    mtime: str | int | None = None
    ownerUserId: _Number = None
    ownerGroupId: _Number = None
    processId: _Number = None
    bytesWritten: _Number = None
    oldPath: str | None = None


_decode = msgspec.json.Decoder(Record).decode


class WatchFolder:
    """Normalises the records of one storage.

    Args:
        storage: Its name.

    Attributes:
        moved: Folders that came to a place, since somebody last took them from here.
    """

    def __init__(self, storage: str) -> None:
        self._storage = Storage(storage)
        self._moving: OrderedDict[tuple[str | None, int], str] = OrderedDict()
        self.moved: list[FolderMoved] = []

    def events(self, raw: bytes) -> tuple[Event, ...]:
        """Return the events of one record.

        Raises:
            WatchEnded: It says that the watch is gone.
            Invalid: It is no such record; the message says what was expected.
        """
        record = _read(raw)
        names = record.event.split()
        folder = "IN_ISDIR" in names
        found = [name for name in names if name != "IN_ISDIR"]
        if not found:
            raise Invalid(f"'event' is {record.event!r}; expected names such as IN_CLOSE_WRITE")
        return tuple(event for name in found for event in self._named(name, record, raw, folder=folder))

    def _named(self, name: str, record: Record, raw: bytes, *, folder: bool) -> tuple[Event, ...]:
        if name in _SILENT:
            return ()
        if name in _ENDED:
            raise WatchEnded(
                f"the watch of {record.fsName or record.path!r} has ended on {record.nodeName} ({name}): "
                "nothing more is told. Look with 'mmwatch all status', enable it again, then reconcile"
            )
        if name == "CLOSE":
            return self._audited_close(record, raw)
        kind = _KINDS.get(name)
        if kind is None:
            raise Invalid(f"event {name!r} of {record.path!r} is not known; expected IN_… or an audit event")
        if name == "RENAME":
            return self._audited_rename(record, raw)
        if folder:
            return self._folder(name, record, raw)
        return (self._event(kind, name, record, raw, moved_from=self._pair(name, record)),)

    def _audited_close(self, record: Record, raw: bytes) -> tuple[Event, ...]:
        written = _number(record.bytesWritten, "bytesWritten")
        return (self._event(FILE_CREATED if written else FILE_READ, "CLOSE", record, raw),)

    def _audited_rename(self, record: Record, raw: bytes) -> tuple[Event, ...]:
        old = record.oldPath
        if not old:
            return (self._event(FILE_CREATED, "RENAME", record, raw),)
        return (
            self._event(FILE_MOVED, "RENAME", record, raw, path=old),
            self._event(FILE_CREATED, "RENAME", record, raw, moved_from=old),
        )

    def _folder(self, name: str, record: Record, raw: bytes) -> tuple[Event, ...]:
        if name not in _MOVES:
            return ()
        came_from = self._pair(name, record)
        if name == "IN_MOVED_FROM":
            return (self._event(FILE_MOVED, name, record, raw),)
        reason = (
            f"the folder {record.path} was moved here from {came_from or 'elsewhere'}, with all that is in it"
        )
        self.moved.append(FolderMoved(record.path.encode(), reason))
        return ()

    def _pair(self, name: str, record: Record) -> str | None:
        """Return where what moves comes from, if that half of the move came before."""
        if name not in _MOVES:
            return None
        key = (record.nodeName, _number(record.cookie, "cookie") or 0)
        if name == "IN_MOVED_TO":
            return self._moving.pop(key, None)
        self._moving[key] = record.path
        if len(self._moving) > PAIRS_MAX:
            self._moving.popitem(last=False)
        return None

    def _event(
        self,
        kind: str,
        name: str,
        record: Record,
        raw: bytes,
        *,
        path: str | None = None,
        moved_from: str | None = None,
    ) -> Event:
        native = (name, record.nodeName, record.eventTime, record.inode, record.cookie, record.processId)
        there = kind not in (FILE_MOVED, FILE_DELETED)
        return self._storage.event(
            kind,
            (path or record.path).encode(),
            native=[str(part).encode() for part in native],
            time=rfc3339_of(record.eventTime, "eventTime"),
            size=_number(record.fileSize, "fileSize") if there else None,
            mtime_ns=nanoseconds_of(record.mtime, "mtime") if there else None,
            ctime_ns=nanoseconds_of(record.ctime, "ctime") if there else None,
            inode=_number(record.inode, "inode"),
            owner=_owner(record),
            client=_client(record),
            moved_from=moved_from,
            origin=Raw(raw if b"\n" not in raw else msgspec.json.format(raw, indent=-1)),
        )


def _read(raw: bytes) -> Record:
    try:
        record = _decode(raw)
        if not raw.isascii():
            raw.decode()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not a record of a watch folder: {error}") from error
    if record.WF_JSON is None and record.LWE_JSON is None:
        raise Invalid("not a record of a watch folder: neither 'WF_JSON' nor 'LWE_JSON' is in it")
    ended = not _ENDED.isdisjoint(record.event.split())
    if not ended and (not record.path.startswith("/") or "\x00" in record.path):
        raise Invalid(f"'path' is {record.path!r}; expected an absolute path")
    return record


def _number(value: _Number, place: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except ValueError:
        raise Invalid(f"{place!r} is {value!r}; expected a whole number") from None


def _owner(record: Record) -> dict[str, Any] | None:
    uid, gid = _number(record.ownerUserId, "ownerUserId"), _number(record.ownerGroupId, "ownerGroupId")
    owner: dict[str, Any] = {} if uid is None else {"uid": uid}
    return owner | ({} if gid is None else {"gids": [gid]}) or None


def _client(record: Record) -> dict[str, Any] | None:
    """Return who did it: the NFS client, else the node itself."""
    if record.nfsClientIp:
        return {"address": record.nfsClientIp, "protocol": "nfs"}
    return {"address": record.nodeName, "protocol": "gpfs"} if record.nodeName else None
