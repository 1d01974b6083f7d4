"""dCache's billing records become events. Pure: no clock, no network, no ledger.

What each record means (a dash: it raises no event, because another record or nobody tells of it)::

    transfer  write, done       file.created    at transferPath; below /upload/ a dash: SRM's request tells
              read, done        file.read
              failed            file.transfer-failed
              between pools     -
    request   SRM's putDone     file.created    transferPath below /upload/, billingPath the final one
              failed            file.transfer-failed, the same event as its transfer's; about no file a dash
              else              -               the transfer tells
    remove    by a door         file.deleted    by a pool a dash: a replica went, not the file
    store     done, failed      file.flushed, file.transfer-failed
    restore   done, failed      file.staged, file.transfer-failed; the path is asked of whom knows
    check, hit, warning         -

Two publishers may send one record twice in different bytes: ids are made of what both copies say. New content
is ``file.created`` always: in dCache an overwritten file is a new one, with a pnfsid of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import (
    DATASCHEMA,
    EVENT_BYTES_MAX,
    FILE_CREATED,
    FILE_DELETED,
    FILE_FLUSHED,
    FILE_READ,
    FILE_STAGED,
    FILE_TRANSFER_FAILED,
    Event,
    FileRecord,
    content_id,
    json_data,
    notice_id,
)
from penstock.core.identity import version_gone_id
from penstock.sources.dcache.paths import KnownPaths, is_path, parent_and_name, subject_and_key
from penstock.sources.dcache.principals import client_of, mapped_owner, owner_of

UPLOADS = "/upload/"
"""Where SRM's uploads lie until they are done."""


class Status(Struct, gc=False):
    """How it went: 0 is success."""

    code: int


class Protocol(Struct, gc=False):
    """Who moved the bytes."""

    protocol: str | None = None
    host: str | None = None


class Record(Struct, gc=False):
    """The members of a billing record that events are made of; names are dCache's."""

    msgType: str
    date: str
    status: Status
    cellName: str = ""
    cellDomain: str = ""
    cellType: str = ""
    session: str = ""
    pnfsid: str | None = None
    billingPath: str | None = None
    transferPath: str | None = None
    fileSize: int | None = None
    isWrite: str = ""
    isP2p: bool = False
    initiator: str = ""
    subject: Raw = Raw()
    protocolInfo: Protocol | None = None
    client: str | None = None
    owner: str | None = None
    mappedUID: int = -1
    mappedGID: int = -1


class PathUnknown(Invalid):
    """The record names no path; somebody who knows the file has to say it.

    Attributes:
        pnfsid: Of the file.
        parent: The folder's pnfsid and the file's name, where the record says them.
    """

    def __init__(self, message: str, pnfsid: str, parent: tuple[str, str] | None) -> None:
        super().__init__(message)
        self.pnfsid = pnfsid
        self.parent = parent


_decode = msgspec.json.Decoder(Record).decode
_SILENT = frozenset({"check", "hit", "warning"})


class Billing:
    """Normalises the billing records of one storage.

    Args:
        storage: Its name.
        paths: Asked where a record names no path, and told where files were written.
        uploads: Folder of SRM's unfinished uploads, with a slash at its end.

    Attributes:
        doors: Those that records came from, since somebody last emptied it.
    """

    def __init__(self, storage: str, paths: KnownPaths, uploads: str = UPLOADS) -> None:
        self._storage = storage
        self._source = f"/storages/{storage}"
        self._paths = paths
        self._uploads = uploads
        self.doors: set[str] = set()
        self._meanings: dict[str, Callable[[Record, bytes], Event | None]] = {
            "transfer": self._transfer,
            "request": self._request,
            "remove": self._remove,
            "store": self._tape,
            "restore": self._tape,
        }

    def event(self, raw: bytes) -> Event | None:
        """Return the event of one record, or None if it raises none.

        Raises:
            PathUnknown: It tells of a file whose path is not known here.
            Invalid: It is no billing record; the message says what was expected.
        """
        record = self._read(raw)
        if record.cellType == "door":
            self.doors.add(record.cellName)
        meaning = self._meanings.get(record.msgType)
        if meaning is not None:
            return meaning(record, raw)
        if record.msgType in _SILENT:
            return None
        raise Invalid(
            f"billing record of {record.cellName!r}: msgType is {record.msgType!r}; expected transfer, "
            "request, remove, store, restore, check, hit or warning"
        )

    def _read(self, raw: bytes) -> Record:
        try:
            record = _decode(raw)
            datetime.fromisoformat(record.date)
            if not raw.isascii():
                raw.decode()  # Members that are not read here, too, must be text.
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Invalid(f"not a billing record of dCache: {error}") from error
        if len(raw) > EVENT_BYTES_MAX // 2:
            raise Invalid(
                f"billing record of {record.cellName!r} has {len(raw)} bytes; expected a few thousand"
            )
        return record

    def _transfer(self, record: Record, raw: bytes) -> Event | None:
        if record.isP2p:
            return None
        if record.status.code:
            return self._failed(record, raw, record.initiator)
        if record.isWrite == "read":
            return self._notice(FILE_READ, record, raw)
        if record.isWrite != "write":
            raise Invalid(
                f"transfer {record.session!r}: isWrite is {record.isWrite!r}; expected read or write"
            )
        path = self._path(record)
        return None if path.startswith(self._uploads) else self._content(record, raw, path)

    def _request(self, record: Record, raw: bytes) -> Event | None:
        if record.status.code:
            return self._failed(record, raw, record.session)
        final, temporary = record.billingPath, record.transferPath
        if final is None or temporary is None or not temporary.startswith(self._uploads):
            return None
        if not is_path(final) or final.startswith(self._uploads):
            return None
        return self._content(record, raw, final)

    def _remove(self, record: Record, raw: bytes) -> Event | None:
        if record.cellType != "door" or record.status.code:
            return None
        path = self._path(record)
        pnfsid = record.pnfsid
        if pnfsid is None:
            return self._notice(FILE_DELETED, record, raw)
        identity = version_gone_id(self._storage, path.encode(), pnfsid)
        return self._event(identity, FILE_DELETED, record, raw, path, size=None)

    def _tape(self, record: Record, raw: bytes) -> Event | None:
        if record.status.code:
            return self._notice(FILE_TRANSFER_FAILED, record, raw)
        return self._notice(FILE_FLUSHED if record.msgType == "store" else FILE_STAGED, record, raw)

    def _content(self, record: Record, raw: bytes, path: str) -> Event:
        if record.pnfsid is None:
            raise Invalid(f"{record.msgType} {record.session!r} wrote {path!r}, and 'pnfsid' is missing")
        self._paths.learn(record.pnfsid, path)
        identity = content_id(self._storage, path.encode(), record.pnfsid)
        return self._event(identity, FILE_CREATED, record, raw, path, size=record.fileSize)

    def _failed(self, record: Record, raw: bytes, attempt: str) -> Event | None:
        """Tell of a failure once: a transfer's ``initiator`` is the ``session`` of the door's request."""
        if record.pnfsid is None and not is_path(record.transferPath) and not is_path(record.billingPath):
            return None  # It failed before it was about a file.
        path = self._path(record)
        identity = notice_id(self._storage, "failed", path.encode(), (attempt or record.session).encode())
        return self._event(identity, FILE_TRANSFER_FAILED, record, raw, path, size=record.fileSize)

    def _notice(self, kind: str, record: Record, raw: bytes) -> Event:
        path = self._path(record)
        native = (record.msgType, record.cellName, record.cellDomain, record.session, record.date)
        identity = notice_id(
            self._storage, kind, *(part.encode() for part in native), (record.pnfsid or "").encode()
        )
        size = None if kind == FILE_DELETED else record.fileSize
        return self._event(identity, kind, record, raw, path, size=size)

    def _path(self, record: Record) -> str:
        """Return the path of the request; the one in billing may be that of the file's birth."""
        for told in (record.transferPath, record.billingPath):
            if told is not None and is_path(told):
                return told
        parent = parent_and_name(record.transferPath or record.billingPath)
        found = self._paths.find(record.pnfsid or "", parent)
        if found is not None:
            return found
        raise PathUnknown(
            f"{record.msgType} of file {record.pnfsid}: the path is {record.billingPath!r}, and no "
            "earlier record named it; give the source a 'namespace': a frontend, and an admin's token",
            record.pnfsid or "",
            parent,
        )

    def _event(
        self, identity: str, kind: str, record: Record, raw: bytes, path: str, *, size: int | None
    ) -> Event:
        subject, key = subject_and_key(path)
        data = FileRecord(
            storage=self._storage,
            path=path,
            size=size,
            version=record.pnfsid,
            owner=_owner(record),
            client=_client(record),
            origin=Raw(raw if b"\n" not in raw else msgspec.json.format(raw, indent=-1)),
        )
        return Event(
            id=identity,
            source=self._source,
            type=kind,
            subject=subject,
            time=record.date,
            partitionkey=key,
            datacontenttype="application/json",
            dataschema=DATASCHEMA,
            data=json_data(data),
        )


def _owner(record: Record) -> dict[str, Any] | None:
    if subject := bytes(record.subject):
        try:
            return owner_of(subject)
        except msgspec.MsgspecError as error:
            raise Invalid(f"{record.msgType} {record.session!r}: 'subject' is no list of texts") from error
    return mapped_owner(record.owner, record.mappedUID, record.mappedGID)


def _client(record: Record) -> dict[str, Any] | None:
    protocol = record.protocolInfo
    if protocol is not None:
        return client_of(protocol.host, protocol.protocol)
    return client_of(record.client, None)
