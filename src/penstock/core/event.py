"""Events: CloudEvents 1.0 envelopes around normalised file records.

Sources: CloudEvents 1.0.2 specification (attributes, JSON format). ``data`` of a
storage event is a :class:`FileRecord`. Ids are derived from content, never drawn:
the same write gives the same event, the same event gives the same run.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from penstock.core.errors import Invalid

TYPE_PREFIX = "penstock."
FILE_CREATED = "penstock.file.created"
FILE_UPDATED = "penstock.file.updated"
FILE_READ = "penstock.file.read"
FILE_DELETED = "penstock.file.deleted"
FILE_MOVED = "penstock.file.moved"
FILE_FLUSHED = "penstock.file.flushed"
FILE_STAGED = "penstock.file.staged"
FILE_TRANSFER_FAILED = "penstock.file.transfer-failed"
FILE_ATTRIBUTES_CHANGED = "penstock.file.attributes-changed"
NEW_CONTENT = frozenset({FILE_CREATED, FILE_UPDATED})
"""Types that say: there is new content at this path."""

DATASCHEMA = "https://penstock.dev/schemas/file-record/1"
EVENT_BYTES_MAX = 1 << 20
DEPTH_MAX = 16
"""Deepest chain of causes before a ring of triggers is broken, unless a workflow says otherwise."""


class Event(
    Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="specversion", tag="1.0"
):
    """A CloudEvents 1.0 message, its extension attributes kept.

    Attributes:
        id: Unique per source; derived (see ``content_id`` and ``notice_id``).
        source: URI reference of the origin, such as ``/storages/local``.
        type: What happened, such as ``penstock.file.created``.
        subject: Percent-encoded path of the file, or the id of the run.
        time: RFC 3339, the storage's clock, kept as it came; for people only.
        partitionkey: Events with one key keep their order.
        data: The payload's JSON bytes, untouched.
        data_base64: The payload where it is not JSON.
        cause: Id of the run whose work raised this event, if any.
        depth: How many causes stand behind this event; absent means none.
        extensions: Every further attribute, as sent.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    partitionkey: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Raw | UnsetType = UNSET
    data_base64: str | None = None
    cause: str | None = None
    depth: int | None = None
    extensions: dict[str, str | int | bool] = {}


class FileRecord(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The normalised record of something that happened to one file.

    Attributes:
        storage: Name of the storage the file is in.
        path: Absolute path as text for people; undecodable bytes are shown as U+FFFD.
        path_raw: The path's bytes in base64, only where ``path`` is not faithful.
        size: In bytes.
        version: The storage's own version, or the ledger's generation; names the content with ``path``.
        generation: Count of contents seen at this path, from 1.
        mtime_ns: Modification time, nanoseconds since 1970.
        ctime_ns: Attribute change time, nanoseconds since 1970.
        inode: Inode number, where there is one.
        checksum: Algorithm to hexadecimal digest.
        owner: ``{"subject": str, "uid": int, "gids": [int]}`` as far as known.
        client: ``{"address": str, "protocol": str}`` as far as known.
        moved_from: Former path, for moves.
        origin: The native record, untouched.
    """

    storage: str
    path: str
    path_raw: str | None = None
    size: int | None = None
    version: str | None = None
    generation: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    inode: int | None = None
    checksum: dict[str, str] | None = None
    owner: dict[str, Any] | None = None
    client: dict[str, Any] | None = None
    moved_from: str | None = None
    origin: Any = None


class FileFacts(Struct, frozen=True, gc=False, kw_only=True):
    """What the ledger wants of a file record; the rest, the native record above all, is not read."""

    storage: str
    path: str
    path_raw: str | None = None
    size: int | None = None
    version: str | None = None
    generation: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    inode: int | None = None


_KNOWN = (frozenset(Event.__struct_fields__) - {"extensions"}) | {"specversion"}
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)
_record_decoder = msgspec.json.Decoder(FileRecord)
_facts_decoder = msgspec.json.Decoder(FileFacts)
_raw_members = msgspec.json.Decoder(dict[str, Raw])
_json = msgspec.json.Decoder()


def encode(event: Event) -> bytes:
    """Return the event in the CloudEvents JSON format (one line, UTF-8)."""
    if not event.extensions:
        return _encoder.encode(event)
    members = msgspec.structs.asdict(event)
    extensions = members.pop("extensions")
    present = {name: value for name, value in members.items() if value is not None and value is not UNSET}
    return _encoder.encode({"specversion": "1.0", **present, **extensions})


def decode(raw: bytes | memoryview) -> Event:
    """Return the event in ``raw`` (CloudEvents JSON format).

    Raises:
        Invalid: It is not such an event; the message names the member at fault.
    """
    try:
        event = _decoder.decode(raw)
        members = _raw_members.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"not a CloudEvent in the JSON format: {error}") from error
    if "specversion" not in members:
        raise Invalid("not a CloudEvent: 'specversion' is missing; expected '1.0'")
    unknown = members.keys() - _KNOWN
    if not unknown:
        return checked(event)
    extensions = {name: _extension(name, members[name]) for name in sorted(unknown)}
    return checked(msgspec.structs.replace(event, extensions=extensions))


def decode_trusted(raw: bytes | memoryview) -> Event:
    """Return an event that this log wrote; extension attributes are not looked for.

    For the hot path: an event that came in with extensions goes through ``decode``.
    """
    return _decoder.decode(raw)


def _extension(name: str, raw: Raw) -> str | int | bool:
    if not (name.isascii() and name.isalnum() and name == name.lower()):
        raise Invalid(f"attribute {name!r}: CloudEvents names are lower-case letters and digits")
    value = _json.decode(raw)
    if value is None or not isinstance(value, str | int | bool):
        raise Invalid(f"attribute {name!r}: expected a string, an integer or a boolean")
    return value


def checked(event: Event) -> Event:
    """Return ``event``, whose attributes came from outside, if they are what CloudEvents allows.

    Raises:
        Invalid: They are not; every fault is named.
    """
    faults = []
    if not (event.id and event.source and event.type) or event.subject == "":
        faults += [
            f"attribute {name!r} is empty; CloudEvents wants at least one character"
            for name in ("id", "source", "type", "subject")
            if getattr(event, name) == ""
        ]
    if event.time is not None:
        try:
            if datetime.fromisoformat(event.time).tzinfo is None:
                faults.append(f"attribute 'time' is {event.time!r}: RFC 3339 wants a time zone")
        except ValueError:
            faults.append(f"attribute 'time' is {event.time!r}: expected RFC 3339")
    if event.data is not UNSET and event.data_base64 is not None:
        faults.append("both 'data' and 'data_base64' are given; CloudEvents allows one")
    if faults:
        raise Invalid(f"event {event.id!r} is not a valid CloudEvent:", tuple(faults))
    return event


def file_record(event: Event) -> FileRecord:
    """Return the file record in the event's data.

    Raises:
        Invalid: The data are no file record.
    """
    if isinstance(event.data, UnsetType):
        raise Invalid(f"event {event.id!r} ({event.type}) has no data; a file record was expected")
    try:
        return _record_decoder.decode(event.data)
    except msgspec.MsgspecError as error:
        raise Invalid(f"event {event.id!r} ({event.type}): data is no file record: {error}") from error


def file_facts(event: Event) -> FileFacts | None:
    """Return what the ledger wants of the file record in the event's data; None if that is none."""
    if isinstance(event.data, UnsetType):
        return None
    try:
        return _facts_decoder.decode(event.data)
    except msgspec.MsgspecError:
        return None


def json_data(value: Any) -> Raw:
    """Return ``value`` as the JSON bytes that ``Event.data`` holds."""
    return Raw(_encoder.encode(value))


def path_members(path: bytes) -> dict[str, str]:
    """Return ``path`` and, only where text cannot be faithful, ``path_raw`` for a record."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return {"path": path.decode("utf-8", "replace"), "path_raw": b64encode(path).decode()}
    return {"path": text}


def subject_of(path: bytes) -> str:
    """Return the subject for a path: percent-encoded, ``/`` kept."""
    return quote_from_bytes(path, safe="/~+,=:@")


def path_of(subject: str) -> bytes:
    """Return the path's bytes that a subject stands for."""
    return unquote_to_bytes(subject)


def content_id(storage: str, path: bytes, version: str) -> str:
    """Return the id of new content at a path, whoever tells of it.

    The kind of the notice is left out: a creation, an update, a move to this path or
    a rescan that finds the file all tell of the same content.
    """
    return f"{storage}:{digest(storage.encode(), path, version.encode())}"


def notice_id(storage: str, kind: str, *native: bytes) -> str:
    """Return the id of one native notice that is not new content (a read, a deletion …)."""
    return f"{storage}:{digest(storage.encode(), kind.encode(), *native)}"


def digest(*parts: bytes) -> str:
    """Return 24 hexadecimal digits for ``parts``; the parts' borders count."""
    framed = [part for each in parts for part in (len(each).to_bytes(4, "big"), each)]
    return blake2b(b"".join(framed), digest_size=12).hexdigest()


def rfc3339(seconds: float) -> str:
    """Return a POSIX time as RFC 3339 in UTC with microseconds."""
    whole, rest = divmod(round(seconds * 1e6), 1_000_000)
    return f"{_second(whole)}.{rest:06d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
