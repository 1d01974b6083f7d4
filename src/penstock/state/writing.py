"""Rows into SQLite: the connection that writes, its statements, its errors in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Connection, Engine, create_engine, event

from penstock.core.errors import Broken, PenstockError, Unavailable
from penstock.core.rows import CursorRow, Row
from penstock.state.tables import TABLES

STATEMENT_ROWS = (64, 8, 1)
"""Rows that one statement takes."""
INTEGER_MAX = (1 << 63) - 1
"""Largest integer of a column."""


def write(connection: Connection, kind: type[Row], rows: Collection[Row]) -> None:
    """Insert or replace rows of one kind, in the transaction under way.

    A statement takes many rows: after each one this thread has to wait for the interpreter, which a busy
    event loop gives away every half millisecond only. And no more of them are held twice than it takes.
    """
    driver = connection.connection.cursor()
    waiting = iter(rows)
    for count in _portions(len(rows)):
        portion = list(islice(waiting, count))
        statement = _upsert(kind, count)
        try:
            driver.execute(statement, [value for row in portion for value in astuple(row)])
        except (OverflowError, UnicodeEncodeError):
            if kind is CursorRow:  # nobody outside has a say in these
                raise
            # What such a row tells of is on the log for good: refused, it would come again for ever.
            driver.execute(statement, [_nearest(value) for row in portion for value in astuple(row)])
    driver.close()


def _portions(count: int) -> Iterator[int]:
    """Yield sizes that add up to ``count``; few different ones, for each is a statement to prepare."""
    for size in STATEMENT_ROWS:
        yield from repeat(size, count // size)
        count %= size


def _nearest(value: Any) -> Any:
    if isinstance(value, int):
        return max(-INTEGER_MAX, min(value, INTEGER_MAX))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


@cache
def _upsert(kind: type[Row], count: int) -> str:
    """Return the statement that inserts or replaces so many rows."""
    table = TABLES[kind]
    names = [f'"{column.name}"' for column in table.columns]
    keys = [f'"{column.name}"' for column in table.columns if column.primary_key]
    rest = ", ".join(f"{name}=excluded.{name}" for name in names[len(keys) :])
    values = ", ".join([f"({', '.join('?' * len(names))})"] * count)
    return (
        f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES {values} '  # noqa: S608
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {rest}"
    )


def writer(path: Path) -> Engine:
    """Return the engine whose one connection writes and checkpoints."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the module would begin no transaction before DDL
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=67108864")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Stop foreign errors at the room's border."""
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:
        original = getattr(error, "orig", error)
        if isinstance(original, sqlite3.Error):
            raise _translated(original, path) from error
        raise Broken(
            f"a row cannot be written to the state in {path}: {type(original).__name__}: {original}"
        ) from error


def _translated(error: sqlite3.Error, path: Path) -> PenstockError:
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return Unavailable(
            f"the state in {path} cannot be written: {text}. Nothing is lost; "
            "make room and it goes on by itself",
            retry_after_s=5.0,
        )
    if "locked" in text or "readonly" in text or "unable to open" in text:
        return Unavailable(f"the state in {path} cannot be written: {text}", retry_after_s=5.0)
    return Broken(f"the state in {path} is damaged: {text}. Stop, and restore it from a backup")
