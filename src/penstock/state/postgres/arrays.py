"""Columns of rows as PostgreSQL's binary arrays: a tenth of the processor time of driver's lists.

One statement takes many rows: ``INSERT ... SELECT * FROM unnest(...)``, an array for each column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any, ClassVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from penstock.state.postgres.texts import are_plain, nearest, stored

_HEAD = Struct("!iiiii")
_LENGTH = Struct("!i").pack
_NUMBER = Struct("!iq").pack
_ABSENT = _LENGTH(-1)
_BOOLS = {False: b"\0\0\0\1\0", True: b"\0\0\0\1\1"}


class Array(bytes):
    """A column in binary form; its subclasses say of what."""

    __slots__ = ()
    element: ClassVar[str]
    element_oid: ClassVar[int]
    oid: ClassVar[int]

    @classmethod
    def framed(cls, count: int, body: bytes) -> Array:
        """Return an array with ``count`` elements, each encoded behind its length."""
        return cls(_HEAD.pack(1 if count else 0, 0, cls.element_oid, count, 1)[: 20 if count else 12] + body)


class Texts(Array):
    """An array of text."""

    element, element_oid, oid = "text", 25, 1009


class Blobs(Array):
    """An array of bytes."""

    element, element_oid, oid = "bytea", 17, 1001


class Numbers(Array):
    """An array of integers."""

    element, element_oid, oid = "int8", 20, 1016


class Truths(Array):
    """An array of truth values."""

    element, element_oid, oid = "bool", 16, 1000


def texts(values: Sequence[str], as_stored: Callable[[str], str] = stored) -> Array:
    """Return a column of text."""
    if _is_one(values):
        return Texts.framed(len(values), _joined([as_stored(values[0]).encode()]) * len(values))
    if not are_plain(values):
        values = [as_stored(value) for value in values]
    return Texts.framed(len(values), _joined([value.encode() for value in values]))


def perhaps_texts(values: Sequence[str | None]) -> Array:
    """Return a column of text, some of it absent."""
    parts = [part for value in values for part in _perhaps(value)]
    body = b"".join(parts)
    return Texts(_HEAD.pack(1, 1, Texts.element_oid, len(values), 1) + body)


def _perhaps(value: str | None) -> tuple[bytes, ...]:
    if value is None:
        return (_ABSENT,)
    encoded = value.encode()
    return _LENGTH(len(encoded)), encoded


def blobs(values: Sequence[bytes]) -> Array:
    """Return a column of bytes."""
    return Blobs.framed(len(values), _joined(values))


def numbers(values: Sequence[int]) -> Array:
    """Return a column of integers."""
    if _is_one(values):
        return Numbers.framed(len(values), _NUMBER(8, nearest(values[0])) * len(values))
    try:
        parts = [_NUMBER(8, value) for value in values]
    except StructError:
        parts = [_NUMBER(8, nearest(value)) for value in values]
    return Numbers.framed(len(values), b"".join(parts))


def truths(values: Sequence[bool]) -> Array:
    """Return a column of truth values."""
    return Truths.framed(len(values), b"".join([_BOOLS[bool(value)] for value in values]))


def _is_one(values: Sequence[Any]) -> bool:
    """Whether there are several values, all the same: half of the columns of a commit are so."""
    return len(values) > 1 and values.count(values[0]) == len(values)


def _joined(values: Sequence[bytes]) -> bytes:
    return b"".join([part for value in values for part in (_LENGTH(len(value)), value)])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer:
        return bytes(obj)


def register(connection: psycopg.Connection[Any]) -> None:
    """Teach a connection to send arrays."""
    for kind in (Texts, Blobs, Numbers, Truths):
        dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.oid})
        connection.adapters.register_dumper(kind, dumper)
