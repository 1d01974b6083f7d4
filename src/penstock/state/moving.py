"""Moves a state from its SQLite file to PostgreSQL: all of it or nothing, and the file stays as it is.

The installation must be stopped. ``plan`` looks at both sides and says what would be done, and what stands
against it; ``move`` copies every table in one transaction and counts what has arrived before it is committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import astuple
from psycopg import Copy

from penstock.core.errors import Broken, Refused, Unavailable
from penstock.core.rows import Row
from penstock.state.migrations import SCHEMA_VERSION
from penstock.state.postgres.schema import prepare
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.statements import STATEMENTS
from penstock.state.postgres.tables import SHARD, TABLES, WHOLE, partitions
from penstock.state.postgres.texts import whole

PROGRESS_ROWS = 5000
"""Rows between two calls of ``progress``."""
Settle = Callable[[Row], Iterable[tuple[int, Row]]]
"""Gives, for a row, those that stand for it in the database, each with its shard."""
R = TypeVar("R", bound=Row)
_OID_NAMES = {str: "text", bytes: "bytea", int: "int8", bool: "bool"}


class Plan(Struct, frozen=True, kw_only=True):
    """What a move would do.

    Attributes:
        source: The SQLite file.
        target: The database, in words.
        rows: Table to number of rows, in the order in which they are copied.
        size_bytes: Of the file; the database will take about half as much again, for its indexes.
        against: Why it cannot be done now, in words; empty if it can.
    """

    source: Path
    target: str
    rows: dict[str, int]
    size_bytes: int
    against: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


class Progress(Struct, frozen=True):
    """How far a move has come: rows of this table, and of all."""

    table: str
    done: int
    total: int
    done_of_all: int
    total_of_all: int


def plan(source: Path, settings: PostgresSettings) -> Plan:
    """Return what ``move`` would do; it changes nothing. Blocks.

    Raises:
        Unavailable: One of the two cannot be read now.
        Invalid: A secret is not where the settings say.
    """
    with _opened(source) as file:
        against = _against_source(file, source)
        rows = {} if against else {table.name: _count(file, table.name) for table in TABLES.values()}
    with connect(settings, "move") as session, translating(settings):
        against += _against_target(session, settings)
    size = sum(place.stat().st_size for place in (source, Path(f"{source}-wal")) if place.exists())
    return Plan(source=source, target=settings.place, rows=rows, size_bytes=size, against=tuple(against))


def move(
    source: Path,
    settings: PostgresSettings,
    partition: int = 0,
    progress: Callable[[Progress], None] = lambda _: None,
    settle: Settle | None = None,
) -> Plan:
    """Copy everything and return what was done. Blocks.

    Args:
        source: The SQLite file of a stopped installation.
        settings: The target.
        partition: Which shard the rows belong to then.
        progress: Told now and then, and at the end of each table.
        settle: Where rows belong to several shards: says which, and how they are then.

    Raises:
        Refused: Something stands against it; nothing was done.
        Unavailable: One of the two is away; nothing was done.
        Broken: Not everything arrived; nothing was done.
    """
    planned = plan(source, settings)
    if planned.against:
        raise Refused(f"{source} cannot be moved to {settings.place}: " + "; ".join(planned.against))
    prepare(settings)
    with _opened(source) as file, connect(settings, "move") as session, translating(settings):
        with session.transaction():
            session.execute("LOCK TABLE partitions, meta IN EXCLUSIVE MODE")  # nobody begins meanwhile
            if against := _against_target(session, settings):
                raise Refused("; ".join(against))
            mover = _Mover(file, session, settle or partition, planned, progress)
            for kind in TABLES:
                mover.copy(kind)
        for table in TABLES.values():
            session.execute(f"ANALYZE {table.name}")
    return planned


class _Mover:
    def __init__(
        self,
        file: sqlite3.Connection,
        session: Session,
        settle: Settle | int,
        planned: Plan,
        progress: Callable[[Progress], None],
    ) -> None:
        self._file = file
        self._session = session
        self._settle = settle
        self._read = self._written = 0
        self._plan = planned
        self._progress = progress
        self._done_of_all = 0

    def copy(self, kind: type[Row]) -> None:
        """Copy one table, and count it where it arrived."""
        table, known = TABLES[kind].name, STATEMENTS[kind]
        names = ", ".join(f'"{name}"' for name in known.names)
        into = f"COPY {table} ({SHARD}, {names}, {WHOLE}) FROM STDIN (FORMAT BINARY)"
        types = [_OID_NAMES[type_] for type_ in known.holds]
        total = self._plan.rows[table]
        self._read = self._written = 0
        found = self._file.execute(f"SELECT {names} FROM {table}")  # noqa: S608
        with self._session.cursor() as cursor, cursor.copy(into) as copying:
            copying.set_types(["int8", *types, "text"])
            for done in self._rows(kind, found, copying):
                self._tell(table, done, total)
        row = self._session.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        if self._read != total or row is None or row[0] != self._written:
            raise Broken(
                f"{table} had {total} rows, of {self._read} {self._written} were made, and {row} arrived; "
                "nothing was changed. Is it stopped?"
            )
        self._tell(table, total, total)
        self._done_of_all += total

    def _rows(self, kind: type[Row], found: Iterator[Sequence[Any]], copying: Copy) -> Iterator[int]:
        known = STATEMENTS[kind]
        store = [known.store[name] for name in known.names]
        for row in found:
            self._read += 1
            for shard, values in self._settled(kind, row):
                kept = whole([values[place] for place in known.key_texts]) if known.key_texts else None
                stored = [each(value) for each, value in zip(store, values, strict=True)]
                copying.write_row((shard, *stored, kept))
                self._written += 1
            if self._read % PROGRESS_ROWS == 0:
                yield self._read

    def _settled(self, kind: type[Row], row: Sequence[Any]) -> Iterable[tuple[int, Sequence[Any]]]:
        if isinstance(self._settle, int):
            return [(self._settle, row)]
        given = kind(**dict(zip(STATEMENTS[kind].names, row, strict=True)))
        return [(shard, astuple(made)) for shard, made in self._settle(given)]

    def _tell(self, table: str, done: int, total: int) -> None:
        self._progress(Progress(table, done, total, self._done_of_all + done, self._plan.total))


def rows(source: Path, kind: type[R]) -> Iterator[R]:
    """Yield all rows of a kind in the file of a stopped installation. Blocks."""
    names = ", ".join(f'"{name}"' for name in kind.__struct_fields__)
    with _opened(source) as file:
        for row in file.execute(f"SELECT {names} FROM {TABLES[kind].name}"):  # noqa: S608
            yield kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


@contextmanager
def _opened(source: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading; everything that is read is of one moment."""
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as file:
            file.isolation_level = None
            file.execute("BEGIN")
            yield file
    except sqlite3.Error as error:
        raise Unavailable(f"the state in {source} cannot be read: {error}") from error


def _against_source(file: sqlite3.Connection, source: Path) -> list[str]:
    is_ours = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    found = file.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() if is_ours else None
    if found is None:
        return [f"{source} holds no state of Penstock"]
    if int(found[0]) != SCHEMA_VERSION:
        return [
            f"{source} has schema {found[0]}, and this Penstock moves {SCHEMA_VERSION}; start it once with "
            "this version, stop it, and come again"
        ]
    return []


def _against_target(session: Session, settings: PostgresSettings) -> list[str]:
    asked = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
    there = {name for (name,) in session.execute(asked, (settings.schema,))}
    filled = [
        name
        for name in [partitions.name, *(table.name for table in TABLES.values())]
        if name in there and session.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()  # noqa: S608
    ]
    if not filled:
        return []
    return [
        f"{settings.place} is in use already: schema {settings.schema!r} has rows in {', '.join(filled)}; "
        "choose another schema, or drop this one"
    ]


def _count(file: sqlite3.Connection, table: str) -> int:
    (number,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(number)
