"""Makes the tables, or brings them to the newest schema; several processes may begin at once."""

from __future__ import annotations

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from penstock.core.errors import Unavailable
from penstock.state.migrations import SCHEMA_VERSION, bring_up, schema_of
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.tables import metadata

FIRST_SCHEMA = 4
"""The first schema that was ever in PostgreSQL; steps from it on serve both databases."""
SERVER_VERSION_MIN = 150000
_LOCK = 0x70656E73746F636B
"""Key of the advisory lock: one process changes the schema, the others wait for it."""


def prepare(settings: PostgresSettings) -> None:
    """Return once the schema is the newest. Blocks.

    Raises:
        Unavailable: The database is away, too old, or was written by a newer Penstock.
    """

    def session() -> Session:
        made = connect(settings, "schema")
        made.autocommit = False  # SQLAlchemy leaves it to the driver to begin transactions
        return made

    engine = create_engine("postgresql+psycopg://", creator=session, poolclass=NullPool)
    with translating(settings), engine.connect() as connection:
        with connection.begin():
            _check_version(connection, settings)
            if schema_of(connection) == SCHEMA_VERSION:
                return
            # Held until the connection ends. In a transaction of its own: the next one sees what others made.
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        with connection.begin():
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {settings.schema}"))
            bring_up(connection, settings.place, metadata)


def _check_version(connection: Connection, settings: PostgresSettings) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    found: int = driver.info.server_version
    if found < SERVER_VERSION_MIN:
        raise Unavailable(f"{settings.place} is version {found // 10000}; 15 or newer is needed")
