"""Where a reader's questions go: to a SQLite file, read-only; ``postgres.door`` is the other one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Engine, Select, Table, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from penstock.core.errors import Timeout, Unavailable
from penstock.core.rows import Row
from penstock.state.tables import TABLES, counts

THREADS = 3
"""Questions at once."""
QUERY_S_MAX = 10.0
"""Longest time that one question may take, in seconds."""
_STEPS_PER_LOOK = 100_000
TOO_LONG = f"the question takes longer than {QUERY_S_MAX:g} s; ask for less"


class Door(Protocol):
    """Answers questions about committed state. Safe to share between threads."""

    tables: Mapping[type[Row], Table]
    counts: Table | None
    """Numbers of rows kept by the database, where it keeps them."""

    def ask(self, question: Select[Any]) -> Sequence[Any]:
        """Return the rows. Blocks.

        Raises:
            Timeout: It takes too long.
            Unavailable: The database cannot be read now.
        """

    def ordered(self, path: ColumnElement[bytes]) -> Sequence[ColumnElement[bytes]]:
        """Return what an index keeps a path ordered by, the path itself last."""

    def close(self) -> None:
        """Let go."""


class SqliteDoor:
    """Reads the file at ``path``, which another process may be writing."""

    def __init__(self, path: Path) -> None:
        """Connect later, when something is asked."""
        self.path = path
        self.tables = TABLES
        self.counts: Table | None = counts
        self.engine: Engine = create_engine(
            "sqlite://", creator=self._connect, poolclass=QueuePool, pool_size=THREADS, max_overflow=0
        )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)

    def ask(self, question: Select[Any]) -> Sequence[Any]:
        """Return the rows; see ``Door.ask``."""
        deadline = monotonic() + QUERY_S_MAX
        try:
            with self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.set_progress_handler(lambda: int(monotonic() > deadline), _STEPS_PER_LOOK)
                return connection.execute(question).all()
        except DBAPIError as error:
            if "interrupt" in str(error.orig):
                raise Timeout(TOO_LONG, QUERY_S_MAX) from error
            raise Unavailable(f"the state in {self.path} cannot be read now: {error.orig}") from error

    def ordered(self, path: ColumnElement[bytes]) -> Sequence[ColumnElement[bytes]]:
        """Return the path."""
        return (path,)

    def close(self) -> None:
        """Let go."""
        self.engine.dispose()
