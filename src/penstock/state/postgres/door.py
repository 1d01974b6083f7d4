"""Where a reader's questions go at a site: to PostgreSQL, read-only; rows of all shards are seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, Table, create_engine, func, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from penstock.core.rows import Row
from penstock.state.door import QUERY_S_MAX, THREADS
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.tables import HEAD_BYTES, TABLES


class PostgresDoor:
    """Reads one installation's schema; see ``state.door.Door``."""

    def __init__(self, settings: PostgresSettings) -> None:
        """Connect later, when something is asked."""
        self.tables: Mapping[type[Row], Table] = TABLES
        self.counts: Table | None = None
        self._settings = settings
        self.engine: Engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=THREADS,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
        )

    def _connect(self) -> Session:
        limit = f"{QUERY_S_MAX:g}s"
        return connect(self._settings, "reader", default_transaction_read_only="on", statement_timeout=limit)

    def ask(self, question: Select[Any]) -> Sequence[Any]:
        """Return the rows; where a kept connection turns out to be lost, by a new one."""
        with translating(self._settings):
            try:
                with self.engine.connect() as connection:
                    return connection.execute(question).all()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            with self.engine.connect() as connection:
                return connection.execute(question).all()

    def ordered(self, path: ColumnElement[bytes]) -> Sequence[ColumnElement[bytes]]:
        """Return the beginning of the path, as the index has it, and the path."""
        start: ColumnElement[int] = literal_column("1")
        size: ColumnElement[int] = literal_column(str(HEAD_BYTES))
        return func.substring(path, start, size), path

    def close(self) -> None:
        """Let go."""
        self.engine.dispose()
