"""Rows into SQLite: the connection that writes, its statements, its errors in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Connection, Engine, Table, create_engine, event

from penstock.core.errors import Broken, PenstockError, Unavailable
from penstock.core.rows import CursorRow, Row
from penstock.state.tables import TABLES

INTEGER_MAX = (1 << 63) - 1
"""Largest integer of a column."""


def write(connection: Connection, kind: type[Row], rows: Collection[Row]) -> None:
    """Insert or replace rows of one kind, in the transaction under way.

    The driver is given the rows one by one: a burst's commit need not hold them twice.
    """
    driver = connection.connection.cursor()
    try:
        driver.executemany(_UPSERTS[kind], map(astuple, rows))  # type: ignore[arg-type]
    except (OverflowError, UnicodeEncodeError):
        if kind is CursorRow:  # nobody outside has a say in these
            raise
        # What such a row tells of is on the log for good: refused, it would come again for ever.
        driver.executemany(_UPSERTS[kind], map(_storable, rows))  # type: ignore[arg-type]
    finally:
        driver.close()


def _storable(row: Row) -> tuple[Any, ...]:
    """Return a row's values with those that no column can hold replaced by the nearest that it can."""
    return tuple([_nearest(value) for value in astuple(row)])


def _nearest(value: Any) -> Any:
    if isinstance(value, int):
        return max(-INTEGER_MAX, min(value, INTEGER_MAX))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _upsert(table: Table) -> str:
    names = [f'"{column.name}"' for column in table.columns]
    keys = [f'"{column.name}"' for column in table.columns if column.primary_key]
    rest = ", ".join(f"{name}=excluded.{name}" for name in names[len(keys) :])
    return (
        f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES ({", ".join("?" * len(names))}) '  # noqa: S608
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {rest}"
    )


_UPSERTS: Mapping[type[Row], str] = {kind: _upsert(table) for kind, table in TABLES.items()}


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
