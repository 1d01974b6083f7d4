"""The statements that rows are written and read by, made once per kind of row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from penstock.core.rows import Row
from penstock.state.postgres import arrays
from penstock.state.postgres.tables import OWN, SHARD, TABLES, WHOLE, head, holds, key_columns, unique
from penstock.state.postgres.texts import (
    SHORT_CHARS,
    from_whole,
    nearest,
    restored,
    stored,
    stored_key,
    whole,
)

R = TypeVar("R", bound=Row)
Encode = Callable[[Sequence[Any]], arrays.Array]


class Statements(Struct, frozen=True, kw_only=True):
    """What is needed of one kind of row.

    Attributes:
        names: Its fields.
        holds: The Python types of them.
        encode: How the values of each field become an array.
        upsert: Takes an array for each field, and the shard.
        by_key: Takes a key by the names ``k0``, ``k1``, and the ``shard``.
        by_keys: Takes an array for each field of the key, and the shard.
        columns: For select lists, quoted.
        texts: Places of fields that hold text.
        key_texts: Those of them that are part of the key.
        store: How a value of each field is asked for.
    """

    names: tuple[str, ...]
    holds: tuple[type, ...]
    encode: tuple[Encode, ...]
    upsert: str
    by_key: str
    by_keys: str
    columns: str
    texts: tuple[int, ...]
    key_texts: tuple[int, ...]
    store: dict[str, Callable[[Any], Any]]


def make(kind: type[R], row: Sequence[Any], key: tuple[Any, ...] = ()) -> R:
    """Return the record that a row of ``columns`` stands for; a known ``key`` is as it was given."""
    known = STATEMENTS[kind]
    *values, kept = row
    for place in known.texts:
        if not values[place].isascii():
            values[place] = restored(values[place])
    if kept is not None:
        for place, text in zip(known.key_texts, from_whole(kept), strict=True):
            values[place] = text
    values[: len(key)] = key
    return kind(**dict(zip(known.names, values, strict=True)))


def columns_of(kind: type[Row], rows: Sequence[Row]) -> list[arrays.Array]:
    """Return what ``upsert`` takes behind the shard."""
    known = STATEMENTS[kind]
    columns = list(zip(*map(astuple, rows), strict=True))
    keys = [columns[place] for place in known.key_texts]
    if any(max(map(len, texts)) > SHORT_CHARS for texts in keys):
        kept = [whole(texts) for texts in zip(*keys, strict=True)]
    else:
        kept = [None] * len(rows)
    encoded = [encode(values) for encode, values in zip(known.encode, columns, strict=True)]
    return [*encoded, arrays.perhaps_texts(kept)]


def _statements(kind: type[Row]) -> Statements:
    names = kind.__struct_fields__
    width = len(key_columns(kind))
    encode = tuple(_encode(holds(kind, name), place < width) for place, name in enumerate(names))
    elements = [encode_one([]).element for encode_one in encode]
    listed = ", ".join(f't."{name}"' for name in (*names, WHOLE))
    texts = tuple(place for place, element in enumerate(elements) if element == "text")
    return Statements(
        names=names,
        holds=tuple(holds(kind, name) for name in names),
        encode=encode,
        upsert=_upsert(kind, elements),
        by_key=_by_key(kind, listed),
        by_keys=_by_keys(kind, listed, elements[:width]),
        columns=listed,
        texts=texts,
        key_texts=tuple(place for place in texts if place < width),
        store={name: _store(holds(kind, name), place < width) for place, name in enumerate(names)},
    )


def _encode(holds: type, is_key: bool) -> Encode:
    of_type: dict[type, Encode] = {
        str: partial(arrays.texts, as_stored=stored_key) if is_key else arrays.texts,
        bytes: arrays.blobs,
        int: arrays.numbers,
        bool: arrays.truths,
    }
    return of_type[holds]


def _store(holds: type, is_key: bool) -> Callable[[Any], Any]:
    if holds is str:
        return stored_key if is_key else stored
    return nearest if holds is int else holds


def _upsert(kind: type[Row], elements: list[str]) -> str:
    names = [f'"{name}"' for name in kind.__struct_fields__]
    places = ", ".join(f"%s::{element}[]" for element in (*elements, "text"))
    rest = [*names[len(key_columns(kind)) :], *([] if kind in OWN else [SHARD]), WHOLE]
    changed = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"INSERT INTO {TABLES[kind].name} ({SHARD}, {', '.join(names)}, {WHOLE}) "  # noqa: S608
        f"SELECT %s::int8, * FROM unnest({places}) "
        f"ON CONFLICT ({', '.join(_parenthesised(part) for part in unique(kind))}) DO UPDATE SET {changed}"
    )


def _parenthesised(expression: str) -> str:
    return f"({expression})" if "(" in expression else expression


def _by_key(kind: type[Row], listed: str) -> str:
    where = [_same(kind, name, f"%(k{place})s") for place, name in enumerate(key_columns(kind))]
    if kind in OWN:
        where.append(f"t.{SHARD} = %(shard)s")
    return f"SELECT {listed} FROM {TABLES[kind].name} t WHERE {' AND '.join(where)}"  # noqa: S608


def _by_keys(kind: type[Row], listed: str, elements: list[str]) -> str:
    names = [f"k{place}" for place in range(len(elements))]
    wanted = ", ".join(f"%s::{element}[]" for element in elements)
    same = [_same(kind, name, f"w.{given}") for name, given in zip(key_columns(kind), names, strict=True)]
    end = f"AND t.{SHARD} = %s" if kind in OWN else "AND %s::int8 IS NOT NULL"
    return (
        f"SELECT {listed} FROM unnest({wanted}) AS w({', '.join(names)}) "  # noqa: S608
        f"JOIN {TABLES[kind].name} t ON {' AND '.join(same)} {end}"
    )


def _same(kind: type[Row], name: str, value: str) -> str:
    if holds(kind, name) is not bytes:
        return f't."{name}" = {value}'
    given = f"{value}::bytea"
    return f"{head(f't.{name}')} = {head(given)} AND t.{name} = {given}"


STATEMENTS = {kind: _statements(kind) for kind in TABLES}
"""Statements of each kind."""
