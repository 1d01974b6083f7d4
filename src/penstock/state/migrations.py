"""Brings a database of an older schema to the newest: an ordered list of plain functions.

``STEPS[0]`` leads from schema 1 to 2, and so on. All that are needed run at the opening, in one transaction:
either the database is of the new schema, or nothing has happened. New tables and indexes need no step,
they are made from ``state.tables`` whenever they are missing.

Rules:

- Stored rows keep their bytes; a step adds columns (at the end, in the order of the record's fields, with
  the field's default) or fills what it added.
- A step is never changed once released, and it names tables and columns by text: ``state.tables`` describes
  the newest schema, not the one that the step meets.
- Each schema leaves a golden file (``tests/state/golden``) that every later version must open.

This is not Alembic, because there is one installation per database and nobody to run a command: what is
needed is an order, a transaction and a refusal of newer schemas, and that is the two dozen lines below. The
statements go through SQLAlchemy, so the same steps serve PostgreSQL (whose DDL is transactional, too).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, inspect, text

from penstock.core.errors import Unavailable
from penstock.state.tables import meta, metadata

Step = Callable[[Connection], None]


def outputs_know_their_makers(connection: Connection) -> None:
    """1 to 2: an output tells which event, step and item it was made for."""
    connection.execute(text("ALTER TABLE outputs ADD COLUMN event_id TEXT NOT NULL DEFAULT ''"))
    connection.execute(text("ALTER TABLE outputs ADD COLUMN step TEXT NOT NULL DEFAULT ''"))
    connection.execute(text("ALTER TABLE outputs ADD COLUMN item BIGINT NOT NULL DEFAULT -1"))


def files_know_the_storage_s_version(connection: Connection) -> None:
    """2 to 3: a ledger's row keeps the storage's own name of the content."""
    connection.execute(text("ALTER TABLE files ADD COLUMN version TEXT NOT NULL DEFAULT ''"))


STEPS: tuple[Step, ...] = (outputs_know_their_makers, files_know_the_storage_s_version)
SCHEMA_VERSION = 1 + len(STEPS)


def bring_up(connection: Connection, place: str) -> None:
    """Make or update the tables. The caller has begun a transaction, and commits it.

    Raises:
        Unavailable: The database at ``place`` was written by a newer Penstock; nothing was changed.
    """
    found = _schema(connection)
    if found is not None and found > SCHEMA_VERSION:
        raise Unavailable(
            f"{place} has schema {found}, this Penstock knows up to {SCHEMA_VERSION}; use the newer version"
        )
    for step in STEPS[found - 1 :] if found is not None else ():
        step(connection)
    metadata.create_all(connection)
    for table in metadata.tables.values():
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    if found is None:
        connection.execute(meta.insert().values(key="schema", value=str(SCHEMA_VERSION)))
    else:
        connection.execute(meta.update().where(meta.c.key == "schema").values(value=str(SCHEMA_VERSION)))


def _schema(connection: Connection) -> int | None:
    """Return the schema of the database, or None if it is new."""
    if not inspect(connection).has_table(meta.name):
        return None
    found = connection.execute(meta.select().where(meta.c.key == "schema")).one_or_none()
    return None if found is None else int(found.value)
