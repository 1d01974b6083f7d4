"""The tables in PostgreSQL: those of ``state.tables`` with a column ``shard``, text ordered by its bytes.

A row of an ``OWN`` kind belongs to the shard (the partition) that folded it: the shard is part of its key,
and is seen by that shard only. The others are one table for the whole installation; their ``shard`` says
who wrote the row last, for whoever removes old ones.

An entry of an index holds 2,700 bytes at most, paths are longer: their index is made of a beginning, which
keeps them in order, and of a digest of the rest. Other long texts are looked up by hash, or cut short in
the key and kept in the column ``whole``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.types import TypeEngine

from penstock.core import rows
from penstock.state.postgres.texts import KeyText, PlainText
from penstock.state.tables import KEY_WIDTH
from penstock.state.tables import TABLES as EMBEDDED
from penstock.state.tables import meta as embedded_meta

SHARD, WHOLE = "shard", "whole"
OWN: frozenset[type[rows.Row]] = frozenset(
    {
        rows.CursorRow,
        rows.Decision,
        rows.RunRow,
        rows.AttemptRow,
        rows.Seen,
        rows.Intent,
        rows.TimerRow,
        rows.Definition,  # each partition has its own place at which a trigger begins
    }
)
HEAD_BYTES = 1400
"""Beginning of a path that is part of an index as it is."""
_PARTIAL = {
    "attempts_of_jobs": "place <> 'pool'",
    "decisions_without_run": "run = ''",
    "files_gone": "NOT present",
}
_BY_HASH = frozenset({"subject"})
metadata = MetaData()


def head(path: str) -> str:
    """Return the expression for the part of a path that an index keeps in order."""
    return f"substring({path}, 1, {HEAD_BYTES})"


def key_columns(kind: type[rows.Row]) -> tuple[str, ...]:
    """Return the names of the columns that are the key, without the shard."""
    return kind.__struct_fields__[: KEY_WIDTH[kind]]


def holds(kind: type[rows.Row], name: str) -> type:
    """Return the Python type of a column."""
    return EMBEDDED[kind].c[name].type.python_type


def unique(kind: type[rows.Row]) -> list[str]:
    """Return the expressions that a kind's unique index is made of."""
    parts: list[str] = []
    for name in key_columns(kind):
        if holds(kind, name) is bytes:
            parts += [head(name), f"sha256(substring({name}, {HEAD_BYTES + 1}))"]
        else:
            parts.append(f'"{name}"')
    return [*parts, SHARD] if kind in OWN else parts


def _table(kind: type[rows.Row], embedded: Table) -> Table:
    table = Table(embedded.name, metadata)
    has_path = any(column.type.python_type is bytes for column in embedded.primary_key)
    for column in embedded.columns:
        type_ = _type(column)
        primary = column.primary_key and not has_path
        table.append_column(
            Column(column.name, type_, primary_key=primary, nullable=False, autoincrement=False)
        )
    is_key = kind in OWN
    table.append_column(Column(SHARD, BigInteger(), primary_key=is_key, nullable=False, autoincrement=False))
    table.append_column(Column(WHOLE, Text()))
    for index in embedded.indexes:
        _index(table, index)
    return table


def _type(column: Column[Any]) -> TypeEngine[Any]:
    if isinstance(column.type, Text):
        return KeyText(collation="C") if column.primary_key else PlainText(collation="C")
    return BYTEA() if column.type.python_type is bytes else column.type


def _index(table: Table, embedded: Index) -> None:
    names = [column.name for column in embedded.columns]
    condition = _PARTIAL.get(str(embedded.name))
    Index(
        embedded.name,
        *[table.c[name] for name in names],
        postgresql_where=None if condition is None else text(condition),
        postgresql_using="hash" if _BY_HASH.issuperset(names) else "btree",
    )


TABLES: Mapping[type[rows.Row], Table] = MappingProxyType(
    {kind: _table(kind, table) for kind, table in EMBEDDED.items()}
)
"""Record type to table."""

for _kind in (rows.FileState, rows.OutputRow, rows.TreeRow):
    Index(f"{TABLES[_kind].name}_key", *map(text, unique(_kind)), unique=True, _table=TABLES[_kind])

meta = embedded_meta.to_metadata(metadata)

partitions = Table(
    "partitions",
    metadata,
    Column("partition", BigInteger(), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger(), nullable=False),
    Column("owner", Text(), nullable=False),
    Column("since_ns", BigInteger(), nullable=False),
    Column("commits", BigInteger(), nullable=False),
    Column("backend", BigInteger(), nullable=False),
    postgresql_with={"fillfactor": 50},  # updated by each commit, within its page
)
"""Who owns a partition: the epoch rises with each owner, ``commits`` with each of its commits."""
