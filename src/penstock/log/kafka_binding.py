"""CloudEvents as Kafka messages: the Kafka protocol binding of CloudEvents 1.0, pure.

Binary mode is written: attributes are headers (``ce_id`` …), the value is the data untouched, the key is the
partition key. An event that would lose something that way (extensions that are no texts, data whose
kind its content type does not tell) is written in structured mode. Both are read, ours and others'.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, UnsetType

from penstock.core.errors import Invalid
from penstock.core.event import Event, checked, decode, encode

Header = tuple[str, str | bytes | None]
Message = tuple[bytes | None, bytes | None, list[tuple[str, str | bytes | None]]]
"""Key, value and headers."""

STRUCTURED = "application/cloudevents+json"
CONTENT_TYPE = "content-type"
_SPECVERSION = "ce_specversion"
_ATTRIBUTES = ("id", "source", "type", "subject", "time", "dataschema", "cause", "partitionkey", "depth")
_KNOWN = frozenset({_SPECVERSION, CONTENT_TYPE, *(f"ce_{name}" for name in _ATTRIBUTES)})
_VERSION: Header = (_SPECVERSION, b"1.0")
_raw = msgspec.json.Decoder(Raw)


def to_message(event: Event) -> Message:
    """Return the message that stands for ``event``; ``from_message`` gives an equal one back."""
    key = None if event.partitionkey is None else event.partitionkey.encode()
    if not _fits_binary(event):
        return key, encode(event), [(CONTENT_TYPE, STRUCTURED)]
    headers: list[Header] = [
        _VERSION,
        ("ce_id", event.id),
        ("ce_source", event.source),
        ("ce_type", event.type),
    ]
    for name in ("subject", "time", "dataschema", "cause"):
        text = getattr(event, name)
        if text is not None:
            headers.append((f"ce_{name}", text))
    if event.depth is not None:
        headers.append(("ce_depth", str(event.depth)))
    if event.datacontenttype is not None:
        headers.append((CONTENT_TYPE, event.datacontenttype))
    headers += [(f"ce_{name}", str(value)) for name, value in event.extensions.items()]
    return key, _value(event), headers


def _fits_binary(event: Event) -> bool:
    if event.partitionkey == "" or not all(isinstance(each, str) for each in event.extensions.values()):
        return False
    json = _is_json(event.datacontenttype)
    if event.data_base64 is not None:
        return not json and event.data is UNSET
    return json or event.data is UNSET


def _value(event: Event) -> bytes | None:
    if not isinstance(event.data, UnsetType):
        return bytes(event.data)
    return None if event.data_base64 is None else b64decode(event.data_base64)


@lru_cache(maxsize=256)
def _is_json(content_type: str | None) -> bool:
    if content_type is None:
        return True
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json") or kind == "text/json"


def from_message(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> Event:
    """Return the event that a message stands for.

    Raises:
        Invalid: It is no CloudEvent in binary or structured mode; the message says why.
    """
    try:
        given = {name: content.decode() for name, content in headers if content is not None}
        if _SPECVERSION not in given:
            given = {name.lower(): text for name, text in given.items()}
        partitionkey = None if key is None else key.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"not a CloudEvent: its key or a header is no UTF-8 text: {error}") from error
    kind = given.get(CONTENT_TYPE)
    if kind is not None and kind.lower().startswith("application/cloudevents"):
        return _structured(kind, value, partitionkey)
    return _binary(given, kind, value, partitionkey)


def _structured(kind: str, value: bytes | None, partitionkey: str | None) -> Event:
    if not kind.lower().startswith(STRUCTURED):
        raise Invalid(f"CloudEvents in the format {kind!r} are not read; expected {STRUCTURED}")
    event = decode(value or b"")
    if event.partitionkey is None and partitionkey is not None:
        return msgspec.structs.replace(event, partitionkey=partitionkey)
    return event


def _binary(given: dict[str, str], kind: str | None, value: bytes | None, partitionkey: str | None) -> Event:
    if given.get(_SPECVERSION) != "1.0":
        raise _no_binary(given.get(_SPECVERSION))
    get = given.get
    data, data_base64 = _data(kind, value)
    try:
        event = Event(
            id=given["ce_id"],
            source=given["ce_source"],
            type=given["ce_type"],
            subject=get("ce_subject"),
            time=get("ce_time"),
            partitionkey=get("ce_partitionkey", partitionkey),
            datacontenttype=kind,
            dataschema=get("ce_dataschema"),
            data=data,
            data_base64=data_base64,
            cause=get("ce_cause"),
            depth=_depth(get("ce_depth")),
            extensions={} if given.keys() <= _KNOWN else _extensions(given),
        )
    except KeyError:
        missing = [name for name in ("ce_id", "ce_source", "ce_type") if name not in given]
        raise Invalid(f"not a CloudEvent: missing headers {', '.join(missing)}") from None
    return checked(event)


def _no_binary(found: str | None) -> Invalid:
    if found is not None:
        return Invalid(f"not a CloudEvent: the header 'ce_specversion' is {found!r}; expected '1.0'")
    return Invalid(
        f"not a CloudEvent: it has neither the header 'ce_specversion' nor the content type {STRUCTURED}"
    )


def _extensions(given: dict[str, str]) -> dict[str, str | int | bool]:
    more = {name[3:]: text for name, text in given.items() if name.startswith("ce_") and name not in _KNOWN}
    if odd := [name for name in more if not (name.isascii() and name.isalnum() and name == name.lower())]:
        raise Invalid(f"attribute {odd[0]!r}: CloudEvents names are lower-case letters and digits")
    return {**more}


def _data(kind: str | None, value: bytes | None) -> tuple[Raw | UnsetType, str | None]:
    if value is None or (not value and not _is_json(kind)):
        return UNSET, None if value is None else ""
    if not _is_json(kind):
        return UNSET, b64encode(value).decode()
    if not value:
        return UNSET, None  # some clients write no null
    try:
        return _raw.decode(value), None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"the data are no JSON, as their content type says: {error}") from error


def _depth(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"attribute 'depth' is {text!r}; expected a number")
    return int(text)


@lru_cache(maxsize=8192)
def partition_of(key: str, partitions: int) -> int:
    """Return the partition for a key: as Java's default partitioner does, so that all producers agree."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return Kafka's hash of a key, unsigned (seed 0x9747b28c)."""
    mixer, mask = 0x5BD1E995, 0xFFFFFFFF
    value = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for place in range(0, whole, 4):
        chunk = int.from_bytes(data[place : place + 4], "little") * mixer & mask
        chunk = (chunk ^ chunk >> 24) * mixer & mask
        value = (value * mixer & mask) ^ chunk
    if len(data) > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * mixer & mask
    value = (value ^ value >> 13) * mixer & mask
    return value ^ value >> 15
