"""Any JSON becomes events, by expressions in the settings. Pure.

::

    [sources.mapping]
    path = "event.node.path || event.target.path"
    type = "event.class"
    types = { 'OCP\\Files\\Events\\Node\\NodeWrittenEvent' = "file.created", 'Other' = "" }
    time = "time"

Each is a JMESPath expression (see ``expression``) over one item of a record. With ``path`` the event is about
a file; without, it is whatever ``type`` says, with ``subject`` and ``data``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import (
    EVENT_BYTES_MAX,
    FILE_CREATED,
    FILE_MOVED,
    TYPE_PREFIX,
    Event,
    json_data,
    notice_id,
    subject_of,
)
from penstock.sources.expression import Expression
from penstock.sources.file_events import Storage, nanoseconds_of, rfc3339_of

EVENTS_MAX = 10_000
"""Events made of one record."""
_TYPE = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


class MappingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a record becomes events; each but ``types`` is a JMESPath expression.

    Attributes:
        path: Absolute path of the file; absent: the events are about no file.
        type: What happened; default: ``file.created``. ``penstock.`` is put before ``file.…`` by itself.
        types: What the values of ``type`` mean; an empty text: no event. Absent: they mean themselves.
        each: The items of one record, each an event; default: the record itself.
        when: An item without a true value here is passed over.
        id: What tells this notice from others, however often it is delivered; default: the item and, from
            Kafka, its place.
        version: The storage's own name of the content.
        time: Text of the ISO kind, or a number of seconds or milliseconds.
        size: In bytes.
        mtime: As ``time``.
        owner: Name of the owner, or an object with ``subject``, ``uid``, ``gids``.
        client: Address of the client, or an object with ``address``, ``protocol``.
        checksum: An object from algorithm to digest.
        moved_from: Former path.
        subject: Of events about no file: a path-like text.
        data: Of events about no file; default: the item.
    """

    path: str = ""
    type: str = ""
    types: dict[str, str] = {}
    each: str = ""
    when: str = ""
    id: str = ""
    version: str = ""
    time: str = ""
    size: str = ""
    mtime: str = ""
    owner: str = ""
    client: str = ""
    checksum: str = ""
    moved_from: str = ""
    subject: str = ""
    data: str = ""


_EXPRESSIONS = tuple(name for name in MappingSettings.__struct_fields__ if name != "types")
_decode = msgspec.json.Decoder().decode


class Mapping:
    """Normalises the records of one source.

    Args:
        storage: Name of the storage, or of whatever the events are about.
        settings: The expressions.

    Raises:
        Invalid: Expressions are wrong; all of them are named.
    """

    def __init__(self, storage: str, settings: MappingSettings) -> None:
        self._storage = Storage(storage)
        self._types = {value: _full(kind) for value, kind in settings.types.items()}
        self._of: dict[str, Expression] = {}
        faults = _faults(settings)
        for name in _EXPRESSIONS:
            text = getattr(settings, name)
            if not text:
                continue
            try:
                self._of[name] = Expression(text, f"mapping.{name}")
            except Invalid as error:
                faults.append(str(error))
        if faults:
            raise Invalid("the mapping cannot work:", tuple(faults))

    def events(self, raw: bytes, place: Sequence[bytes] = ()) -> list[Event]:
        """Return the events of one record.

        Args:
            raw: JSON.
            place: Where the record is, if it has a place that never changes.

        Raises:
            Invalid: It is no JSON, or the expressions do not fit it; the message names the one at fault.
        """
        try:
            record = _decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Invalid(f"not a JSON document: {error}") from error
        items = self._items(record)
        found = (self._event(item, [*place, b"%d" % number]) for number, item in enumerate(items))
        return [event for event in found if event is not None]

    def _items(self, record: Any) -> list[Any]:
        if "each" not in self._of:
            return [record]
        items = self._of["each"].of(record)
        if items is None:
            return []
        if not isinstance(items, list):
            raise Invalid(f"mapping.each finds {_shown(items)}; expected a list")
        if len(items) > EVENTS_MAX:
            raise Invalid(f"mapping.each finds {len(items)} items; at most {EVENTS_MAX} are taken")
        return items

    def _event(self, item: Any, place: list[bytes]) -> Event | None:
        if "when" in self._of and not self._of["when"].of(item):
            return None
        kind = self._kind(item)
        if kind is None:
            return None
        raw = bytes(json_data(item))
        if len(raw) > EVENT_BYTES_MAX // 2:
            raise Invalid(f"an item of {len(raw)} bytes; at most {EVENT_BYTES_MAX // 2} are taken")
        named = self._value("id", item)
        native = [raw, *place] if named is None else [bytes(json_data(named))]
        if "path" in self._of:
            return self._file(kind, item, raw, native)
        return self._other(kind, item, raw, native)

    def _kind(self, item: Any) -> str | None:
        if "type" not in self._of:
            return FILE_CREATED
        told = self._text("type", item)
        if told is None:
            raise Invalid("mapping.type finds nothing; expected a text")
        if not self._types:
            return _full(told, "mapping.type")
        if told not in self._types:
            known = ", ".join(sorted(self._types)[:10])
            raise Invalid(f"mapping.type finds {told!r}, which 'types' does not name; it names {known}")
        return self._types[told] or None

    def _file(self, kind: str, item: Any, raw: bytes, native: list[bytes]) -> Event:
        path = self._text("path", item)
        if path is None or not path.startswith("/") or "\x00" in path:
            raise Invalid(f"mapping.path finds {_shown(path)}; expected an absolute path")
        return self._storage.event(
            kind,
            path.encode(),
            native=native,
            time=rfc3339_of(self._value("time", item), "mapping.time"),
            version=self._text("version", item),
            size=self._size(item),
            mtime_ns=nanoseconds_of(self._value("mtime", item), "mapping.mtime"),
            owner=_object(self._value("owner", item), "subject", "mapping.owner"),
            client=_object(self._value("client", item), "address", "mapping.client"),
            checksum=self._checksum(item),
            moved_from=self._text("moved_from", item) if kind != FILE_MOVED else None,
            origin=Raw(raw),
        )

    def _other(self, kind: str, item: Any, raw: bytes, native: list[bytes]) -> Event:
        subject = self._text("subject", item)
        subject = None if subject is None else subject_of(subject.encode())
        data = self._of["data"].of(item) if "data" in self._of else Raw(raw)
        return Event(
            id=notice_id(self._storage.name, kind, *native),
            source=f"/storages/{self._storage.name}",
            type=kind,
            subject=subject or None,
            time=rfc3339_of(self._value("time", item), "mapping.time"),
            partitionkey=subject or None,
            datacontenttype="application/json",
            data=json_data(data),
        )

    def _value(self, name: str, item: Any) -> Any:
        expression = self._of.get(name)
        return None if expression is None else expression.of(item)

    def _text(self, name: str, item: Any) -> str | None:
        """Return a text; numbers count as theirs, an empty one as none."""
        found = self._value(name, item)
        if found is None or found == "":
            return None
        if isinstance(found, str):
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise Invalid(f"mapping.{name} finds {_shown(found)}; expected a text")

    def _size(self, item: Any) -> int | None:
        found = self._value("size", item)
        if found is None or found == "":
            return None
        try:
            size = int(found)
        except (TypeError, ValueError, OverflowError):
            size = -1
        if size < 0 or isinstance(found, bool):
            raise Invalid(f"mapping.size finds {_shown(found)}; expected a number of bytes")
        return size

    def _checksum(self, item: Any) -> dict[str, str] | None:
        found = self._value("checksum", item)
        if found is None:
            return None
        if not isinstance(found, dict) or not all(isinstance(value, str | None) for value in found.values()):
            raise Invalid(f"mapping.checksum finds {_shown(found)}; expected an object of texts")
        return {name: value for name, value in found.items() if value} or None


def _faults(settings: MappingSettings) -> list[str]:
    """Return what does not fit together."""
    faults = []
    if not settings.path and not settings.type:
        faults.append("neither 'path' nor 'type' is given; with 'path' the events are about files")
    if settings.types and not settings.type:
        faults.append("'types' says what values mean, and 'type' does not say whose")
    if settings.path and (settings.subject or settings.data):
        faults.append("'subject' and 'data' are for events about no file; 'path' is given")
    for value, kind in settings.types.items():
        if kind and not _TYPE.fullmatch(kind):
            faults.append(f"types: {value!r} means {kind!r}; expected small letters, digits and dots")
    return faults


def _full(kind: str, place: str = "") -> str:
    """Return a type with its prefix."""
    if place and not _TYPE.fullmatch(kind):
        raise Invalid(f"{place} finds {kind!r}; expected small letters, digits and dots, or give 'types'")
    return TYPE_PREFIX + kind if kind.startswith("file.") else kind


def _object(value: Any, member: str, place: str) -> dict[str, Any] | None:
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {member: value}
    raise Invalid(f"{place} finds {_shown(value)}; expected a text or an object")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
