"""Notifications of S3 storages (AWS, MinIO, Ceph) become events. Pure.

What each name means is in ``s3_names``; ``ObjectCreated:Post`` without an eTag says that an upload begins.
A path is ``/bucket/key``. A content's version is the storage's ``versionId``, else eTag and sequencer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import FILE_CREATED, FILE_DELETED, Event
from penstock.sources.file_events import Storage, rfc3339_of
from penstock.sources.s3_names import MARKERS, meaning

RECORDS_MAX = 10_000
"""Records in one message."""
SEQUENCER_DIGITS = 64
"""Width to which sequencers are padded before they are compared."""


class Keys(StrEnum):
    """How ``object.key`` is written."""

    AUTO = "auto"
    """As the storage that sent it is known to: AWS and MinIO escaped, Ceph plain."""
    ESCAPED = "escaped"
    """As in a form: ``+`` is a blank, ``%C3%BC`` is ü."""
    PLAIN = "plain"
    """As it is."""


class Bucket(Struct, gc=False):
    """Where the object is."""

    name: str


class Object(Struct, gc=False):
    """What it is about; ``size`` may be text."""

    key: str
    size: int | str | None = None
    eTag: str | None = None
    versionId: str | None = None
    sequencer: str | None = None


class Place(Struct, gc=False):
    """The member ``s3``."""

    bucket: Bucket
    object: Object


class Identity(Struct, gc=False):
    """Who did it."""

    principalId: str | None = None


class Request(Struct, gc=False):
    """From where it was asked."""

    sourceIPAddress: str | None = None


class Record(Struct, gc=False):
    """The members that events are made of; names are S3's."""

    eventName: str
    s3: Place
    eventVersion: str = "2.0"
    eventSource: str = ""
    eventTime: str | None = None
    userIdentity: Identity | None = None
    requestParameters: Request | None = None
    responseElements: dict[str, Any] | None = None


class Message(Struct):
    """One message: some records, or a test without any."""

    Records: list[Raw] | None = None
    Event: str | None = None


_message = msgspec.json.Decoder(Message).decode
_record = msgspec.json.Decoder(Record).decode


class Notifications:
    """Normalises the messages of one storage.

    Args:
        storage: Its name.
        keys: How keys are written.
        buckets: The only ones that are told of; empty for all.
    """

    def __init__(self, storage: str, keys: Keys = Keys.AUTO, buckets: frozenset[str] = frozenset()) -> None:
        self._storage = Storage(storage)
        self._keys = keys
        self._buckets = buckets

    def records(self, raw: bytes) -> list[bytes]:
        """Return the records of one message, those of one key in the order of their sequencers.

        A body without anything (a probe) and a test message have none.

        Raises:
            Invalid: It is no message of an S3 storage.
        """
        if not raw.strip():
            return []
        try:
            message = _message(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Invalid(f"not a message of an S3 storage: {error}") from error
        if message.Records is None:
            if message.Event == "s3:TestEvent":
                return []
            raise Invalid("not a message of an S3 storage: 'Records' is missing")
        if len(message.Records) > RECORDS_MAX:
            raise Invalid(f"a message with {len(message.Records)} records; at most {RECORDS_MAX} are taken")
        records = [bytes(record) for record in message.Records]
        return records if len(records) < 2 else _in_order(records)

    def events(self, raw: bytes) -> tuple[Event, ...]:
        """Return the events of one record.

        Raises:
            Invalid: It is no such record; the message says what was expected.
        """
        record = _read(raw)
        name = record.eventName.removeprefix("s3:")
        kind = meaning(name)
        item, bucket = record.s3.object, record.s3.bucket.name
        if kind is None or (self._buckets and bucket not in self._buckets):
            return ()
        ceph = record.eventSource.startswith("ceph:")
        if ceph and name == "ObjectCreated:Post" and not item.eTag:
            return ()
        path = b"/%b/%b" % (bucket.encode(), self._key(item.key, ceph=ceph))
        return (self._event(kind, name, path, record, raw),)

    def _key(self, key: str, *, ceph: bool) -> bytes:
        if self._keys is Keys.PLAIN or (self._keys is Keys.AUTO and ceph):
            return key.encode()
        return unquote_to_bytes(key.replace("+", " "))

    def _event(self, kind: str, name: str, path: bytes, record: Record, raw: bytes) -> Event:
        item = record.s3.object
        version = _version(item, name, kind)
        return self._storage.event(
            kind,
            path,
            native=_native(name, record),
            time=rfc3339_of(record.eventTime, "eventTime"),
            version=version,
            size=None if kind == FILE_DELETED else _size(item.size),
            owner=_owner(record),
            client=_client(record),
            origin=Raw(raw if b"\n" not in raw else msgspec.json.format(raw, indent=-1)),
        )


def _in_order(records: list[bytes]) -> list[bytes]:
    """Return the records, those of one key by sequencer; the places that a key's records take stay."""
    places: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for place, raw in enumerate(records):
        try:
            where = _record(raw).s3
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue  # It becomes a dead letter in its turn.
        padded = (where.object.sequencer or "").upper().rjust(SEQUENCER_DIGITS, "0")
        places.setdefault((where.bucket.name, where.object.key), []).append((padded, place))
    ordered = list(records)
    for several in places.values():
        for (_, place), (_, wanted) in zip(several, sorted(several), strict=True):
            ordered[place] = records[wanted]
    return ordered


def _read(raw: bytes) -> Record:
    try:
        record = _record(raw)
        if not raw.isascii():
            raw.decode()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not a record of an S3 storage: {error}") from error
    if record.eventVersion.partition(".")[0] != "2":
        raise Invalid(f"'eventVersion' is {record.eventVersion!r}; expected 2 and any minor version")
    if not record.s3.object.key or not record.s3.bucket.name:
        raise Invalid("'s3.bucket.name' or 's3.object.key' is empty")
    return record


def _version(item: Object, name: str, kind: str) -> str | None:
    """Return the content's version; a deletion has one only where it names a content's."""
    named = item.versionId if item.versionId not in (None, "", "null") else None
    if name.rpartition(":")[2] in MARKERS:
        return None
    if named is not None or kind == FILE_DELETED:
        return named
    etag = (item.eTag or "").strip('"')
    parts = [part for part in (etag, item.sequencer) if part]
    return "-".join(parts) if kind == FILE_CREATED and len(parts) == 2 else None


def _native(name: str, record: Record) -> list[bytes]:
    """Return what tells this notice from others: several records of one request share its ids."""
    item, response = record.s3.object, record.responseElements or {}
    parts = (name, item.versionId, item.sequencer, response.get("x-amz-request-id"), record.eventTime)
    return [str(part).encode() for part in parts]


def _size(size: int | str | None) -> int | None:
    if size is None or size == "":
        return None
    try:
        return int(size)
    except ValueError:
        raise Invalid(f"'size' is {size!r}; expected a whole number") from None


def _owner(record: Record) -> dict[str, Any] | None:
    who = record.userIdentity.principalId if record.userIdentity else None
    return {"subject": who} if who else None


def _client(record: Record) -> dict[str, Any]:
    address = record.requestParameters.sourceIPAddress if record.requestParameters else None
    return {"address": address, "protocol": "s3"} if address else {"protocol": "s3"}
