"""Writes the golden database of this version: ``make.py FILE``. To be run before a schema is left behind."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

from penstock.core import rows
from penstock.state.embedded import EmbeddedState
from penstock.state.tables import TABLES

VALUES = {str: "text", int: 7, bytes: b"\xff\0bytes", bool: True}


def sample(kind: type[rows.Row]) -> rows.Row:
    """Return a row whose fields tell their own names and types."""
    columns = TABLES[kind].columns
    values = {
        column.name: f"{column.name} of {kind.__name__}"
        if column.type.python_type is str
        else VALUES[column.type.python_type]
        for column in columns
    }
    return kind(**values)


async def make(path: Path) -> None:
    """Write one row of each kind, as small as SQLite can."""
    state = EmbeddedState(path)
    state.put(*(sample(kind) for kind in TABLES))
    await state.commit()
    state.close()
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA page_size=512", "VACUUM"):
            connection.execute(statement)
    connection.close()


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
