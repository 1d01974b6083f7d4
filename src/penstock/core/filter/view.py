"""An event as filters see it: attributes, path and data members, each read only when asked for."""

from __future__ import annotations

import operator
from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from penstock.core.cesql import Value
from penstock.core.event import Event, decode

PATH = "path"
DATA = "data."
INTEGER_BITS_MAX = 4096
"""Longer integers have no text; Python refuses to write out much longer ones."""

Reader = Callable[["View"], Any]


class _Head(Struct, gc=False):
    """What nearly every filter asks for; decoding skips the rest."""

    type: str
    subject: str | None = None


class _Body(Struct):
    data: Raw | UnsetType = UNSET


_head = msgspec.json.Decoder(_Head).decode
_body = msgspec.json.Decoder(_Body).decode
_json = msgspec.json.Decoder().decode
_UNREAD: Any = object()


class View:
    """One event, read lazily; each part is decoded at most once. Not safe to share between threads.

    Attributes:
        type: The event's type.
        subject: The event's subject, percent-encoded as it came.
    """

    __slots__ = ("_data", "_event", "_path", "_raw", "subject", "type")

    def __init__(self, event: Event) -> None:
        self.type = event.type
        self.subject = event.subject
        self._event: Event | None = event
        self._raw: bytes | memoryview = b""
        self._path: Any = _UNREAD
        self._data: Any = _UNREAD

    @classmethod
    def of_bytes(cls, raw: bytes | memoryview) -> View:
        """Return the view of an event in the CloudEvents JSON format that was accepted before.

        Only what filters ask for is decoded and checked.

        Raises:
            msgspec.MsgspecError: It is no event.
        """
        head = _head(raw)
        view = cls.__new__(cls)
        view.type = head.type
        view.subject = head.subject
        view._event = None
        view._raw = raw
        view._path = _UNREAD
        view._data = _UNREAD
        return view

    @property
    def event(self) -> Event:
        """The whole event."""
        if self._event is None:
            self._event = decode(self._raw)
        return self._event

    @property
    def path(self) -> str:
        """The path that the event is about, or an empty text.

        Bytes that are no UTF-8 are kept as lone surrogates, so that no two paths look alike.
        """
        if self._path is _UNREAD:
            self._path = self._read_path()
        return self._path  # type: ignore[no-any-return]

    @property
    def path_bytes(self) -> bytes:
        """The path's bytes."""
        return self.path.encode("utf-8", "surrogateescape")

    @property
    def data(self) -> Any:
        """The event's JSON data, decoded; None if there are none, or none that can be read.

        JSON may nest deeper or write longer numbers than any program reads.
        """
        if self._data is _UNREAD:
            raw = self._event.data if self._event is not None else _body(self._raw).data
            self._data = None if isinstance(raw, UnsetType) else _loaded(raw)
        return self._data

    def attribute(self, name: str) -> Value | None:
        """Return a context attribute or extension, or None if the event has none of that name."""
        if name == "type":
            return self.type
        if name == "subject":
            return self.subject
        if name in _ATTRIBUTES:
            value: Value | None = getattr(self.event, name)
            return value
        if name == "specversion":
            return "1.0"
        return self.event.extensions.get(name)

    def lookup(self, identifier: str) -> Value | None:
        """Return what a CESQL identifier stands for: an attribute, ``path`` or ``data_<member>``."""
        if identifier.startswith("data_"):
            return _scalar(_underscored(self.data, identifier.removeprefix("data_")))
        value = self.attribute(identifier)
        if value is None and identifier == PATH:
            return self.path or None
        return value

    def _read_path(self) -> str:
        subject = self.subject
        if subject is not None:
            return unquote(subject, errors="surrogateescape") if "%" in subject else subject
        raw, text = (_member(self.data, (name,)) for name in ("path_raw", "path"))
        if isinstance(raw, str):
            return _decoded(raw)
        return text if isinstance(text, str) else ""


_ATTRIBUTES = frozenset(Event.__struct_fields__) - {"data", "data_base64", "extensions"}


def reader(field: str) -> Reader:
    """Return the function that reads ``field``: a scalar, a list of scalars, or None."""
    if field in ("type", "subject", PATH):
        return operator.attrgetter(field)
    if field.startswith(DATA):
        names = tuple(field.removeprefix(DATA).split("."))
        return lambda view: _member(view.data, names)
    return lambda view: view.attribute(field)


def text_of(value: object) -> str | None:
    """Return the CloudEvents text of a scalar; None for anything else."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value) if value.bit_length() <= INTEGER_BITS_MAX else None  # type: ignore[attr-defined]
    return repr(value) if kind is float else None


def texts_of(value: object) -> Sequence[str]:
    """Return the texts of a scalar or of the members of a list, each once."""
    members = value if isinstance(value, list) else (value,)
    texts = (text_of(member) for member in members)
    return list(dict.fromkeys(text for text in texts if text is not None))


def numbers_of(value: object) -> Sequence[int | float]:
    """Return the number, or the numbers of a list, each once."""
    members: list[Any] = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(member for member in members if type(member) in (int, float)))


def _member(value: Any, names: tuple[str, ...]) -> Any:
    """Go down ``names``; a list on the way stands for all its members."""
    for index, name in enumerate(names):
        if isinstance(value, list):
            return _spread(value, names[index:])
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _spread(members: list[Any], names: tuple[str, ...]) -> list[Any]:
    found: list[Any] = []
    for member in members:
        value = _member(member, names) if isinstance(member, dict) else None
        if isinstance(value, list):
            found.extend(value)
        elif value is not None:
            found.append(value)
    return found


def _underscored(value: Any, name: str) -> Any:
    """Find ``owner_uid`` or ``mtime_ns``: members' own underscores are tried first."""
    if not isinstance(value, dict) or name in value:
        return value.get(name) if isinstance(value, dict) else None
    for cut in range(len(name) - 1, 0, -1):
        if name[cut] == "_" and isinstance(value.get(name[:cut]), dict):
            return _underscored(value[name[:cut]], name[cut + 1 :])
    return None


def _scalar(value: Any) -> Value | None:
    if isinstance(value, str | int):
        return value
    return repr(value) if isinstance(value, float) else None


def _loaded(raw: Raw) -> Any:
    try:
        return _json(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _decoded(path_raw: str) -> str:
    try:
        return b64decode(path_raw, validate=True).decode("utf-8", "surrogateescape")
    except ValueError:
        return ""
