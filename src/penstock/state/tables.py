"""The tables, made from ``core.rows``: a table per record type, its key the first fields.

One definition serves every database that SQLAlchemy Core knows. Times are POSIX nanoseconds.
"""

from __future__ import annotations

import types
import typing

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, Table, Text, text

from penstock.core import rows

metadata = MetaData()

_KEYS: dict[type[rows.Row], tuple[str, int]] = {
    rows.CursorRow: ("cursors", 2),
    rows.Decision: ("decisions", 2),
    rows.RunRow: ("runs", 1),
    rows.AttemptRow: ("attempts", 4),
    rows.FileState: ("files", 2),
    rows.PositionRow: ("positions", 2),
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
