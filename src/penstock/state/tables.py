"""The tables, made from ``core.rows``: a table per record type, its key the first fields.

One definition serves every database that SQLAlchemy Core knows. Times are POSIX nanoseconds.
"""

from __future__ import annotations

import types
import typing

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

from penstock.core import rows

metadata = MetaData()

_KEYS: dict[type[rows.Row], tuple[str, int]] = {
    rows.CursorRow: ("cursors", 2),
    rows.Decision: ("decisions", 3),
    rows.RunRow: ("runs", 1),
    rows.AttemptRow: ("attempts", 4),
    rows.FileState: ("files", 2),
    rows.PositionRow: ("positions", 2),
    rows.TreeRow: ("trees", 2),
    rows.HeardRow: ("heard", 2),
    rows.Seen: ("seen", 2),
    rows.Intent: ("intents", 1),
    rows.OutputRow: ("outputs", 1),
    rows.TimerRow: ("timers", 1),
    rows.DeadLetter: ("dead_letters", 1),
    rows.Definition: ("definitions", 4),
}
_TYPES = {str: Text, int: BigInteger, bytes: LargeBinary, bool: Boolean}

KEY_WIDTH: dict[type[rows.Row], int] = {kind: width for kind, (_, width) in _KEYS.items()}
"""How many leading fields are the key."""


def _table(kind: type[rows.Row], name: str, width: int) -> Table:
    hints = typing.get_type_hints(kind)
    columns: list[Column[typing.Any]] = []
    for place, field in enumerate(kind.__struct_fields__):
        hint = hints[field]
        plain = next((base for base in _TYPES if isinstance(hint, type) and issubclass(hint, base)), str)
        plain = bool if hint is bool else plain
        columns.append(
            Column(field, _TYPES[plain](), primary_key=place < width, nullable=False, autoincrement=False)
        )
    return Table(name, metadata, *columns, sqlite_with_rowid=width == 1)


TABLES: typing.Mapping[type[rows.Row], Table] = types.MappingProxyType(
    {kind: _table(kind, name, width) for kind, (name, width) in _KEYS.items()}
)
"""Record type to table."""

meta = Table(
    "meta", metadata, Column("key", Text(), primary_key=True), Column("value", Text(), nullable=False)
)

Index("runs_by_start", TABLES[rows.RunRow].c.started_ns)
Index("runs_by_subject", TABLES[rows.RunRow].c.subject)
Index("runs_by_phase", TABLES[rows.RunRow].c.phase, TABLES[rows.RunRow].c.started_ns)
Index("decisions_by_subject", TABLES[rows.Decision].c.subject)
Index("dead_letters_by_subject", TABLES[rows.DeadLetter].c.subject)
Index("dead_letters_by_state", TABLES[rows.DeadLetter].c.state, TABLES[rows.DeadLetter].c.at_ns)
Index(
    "attempts_of_jobs",
    TABLES[rows.AttemptRow].c.started_ns,
    sqlite_where=TABLES[rows.AttemptRow].c.place != "pool",
)
Index("seen_by_offset", TABLES[rows.Seen].c.offset)
Index("decisions_without_run", TABLES[rows.Decision].c.at_ns, sqlite_where=text("run = ''"))
Index("timers_by_done", TABLES[rows.TimerRow].c.done)
Index("intents_by_done", TABLES[rows.Intent].c.done)
Index(
    "files_gone",
    TABLES[rows.FileState].c.offset,
    sqlite_where=text("present = 0"),
    postgresql_where=text("NOT present"),
)

counts = Table(
    "counts",
    metadata,
    Column("what", Text(), primary_key=True),
    Column("state", Text(), primary_key=True),
    Column("number", BigInteger(), nullable=False),
    sqlite_with_rowid=False,
)
"""How many rows are in each phase or state; SQLite keeps it by triggers, see ``counting``."""


def counting(table: str, state: str) -> tuple[str, ...]:
    """Return the triggers that keep ``counts`` for a table and its column ``state``."""
    more = (
        f"INSERT INTO counts VALUES ('{table}', new.{state}, 1) "  # noqa: S608
        "ON CONFLICT DO UPDATE SET number = number + 1;"
    )
    less = f"UPDATE counts SET number = number - 1 WHERE what = '{table}' AND state = old.{state};"  # noqa: S608
    begin = f"CREATE TRIGGER IF NOT EXISTS {table}_counted"
    return (
        f"{begin}_in AFTER INSERT ON {table} BEGIN {more} END",
        f"{begin}_out AFTER DELETE ON {table} BEGIN {less} END",
        f"{begin}_on AFTER UPDATE OF {state} ON {table} WHEN old.{state} <> new.{state} "
        f"BEGIN {less} {more} END",
    )


for _statement in (*counting("runs", "phase"), *counting("dead_letters", "state")):
    event.listen(metadata, "after_create", DDL(_statement).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
