"""Brings a database of an older schema to the newest: an ordered list of plain functions.

``STEPS[0]`` leads from schema 1 to 2, and so on. All that are needed run at the opening, in one transaction:
either the database is of the new schema, or nothing has happened. New tables and indexes need no step,
they are made from ``state.tables`` whenever they are missing.

Rules:

- Stored rows keep their bytes; a step adds columns (at the end, in the order of the record's fields, with
  the field's default) or fills what it added. Where a key changes, it copies the table.
- A step is never changed once released, and it names tables and columns by text: ``state.tables`` describes
  the newest schema, not the one that the step meets.
- Each schema leaves a golden file (``tests/state/golden``) that every later version must open.

This is not Alembic, because there is one installation per database and nobody to run a command: what is
needed is an order, a transaction and a refusal of newer schemas, and that is the two dozen lines below. The
statements go through SQLAlchemy, so the same steps serve PostgreSQL (whose DDL is transactional, too); there
is none of an earlier schema than 4, and its tables have a column ``shard`` that a step must leave alone.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, MetaData, inspect, text

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


def decisions_know_their_source(connection: Connection) -> None:
    """3 to 4: a decision is kept by the event's source, too; it is unknown ("") for those made before."""
    rest = '"trigger", tenant, "offset", subject, outcome, run, reason, at_ns'
    for statement in (
        "ALTER TABLE decisions RENAME TO decisions_3",
        "DROP INDEX IF EXISTS decisions_by_subject",
        "DROP INDEX IF EXISTS decisions_without_run",
        """CREATE TABLE decisions (event_id TEXT NOT NULL, source TEXT NOT NULL, "trigger" TEXT NOT NULL,
            tenant TEXT NOT NULL, "offset" BIGINT NOT NULL, subject TEXT NOT NULL, outcome TEXT NOT NULL,
            run TEXT NOT NULL, reason TEXT NOT NULL, at_ns BIGINT NOT NULL,
            PRIMARY KEY (event_id, source, "trigger")) """
        + ("WITHOUT ROWID" if connection.dialect.name == "sqlite" else ""),
        f"INSERT INTO decisions SELECT event_id, '', {rest} FROM decisions_3",  # noqa: S608
        "DROP TABLE decisions_3",
    ):
        connection.execute(text(statement))


def files_know_their_last_event(connection: Connection) -> None:
    """3 to 4: a ledger's row tells where its last event is in the log: of older rows, at the latest."""
    connection.execute(text('ALTER TABLE files ADD COLUMN "offset" BIGINT NOT NULL DEFAULT 0'))
    folded = 'SELECT max("offset") FROM cursors'
    connection.execute(text(f'UPDATE files SET "offset" = coalesce(({folded}), 0)'))  # noqa: S608


def rows_are_counted(connection: Connection) -> None:
    """3 to 4: how many runs and dead letters there are in each state need not be counted anew each time."""
    connection.execute(
        text(
            "CREATE TABLE counts (what TEXT NOT NULL, state TEXT NOT NULL, number BIGINT NOT NULL, "
            "PRIMARY KEY (what, state)) " + ("WITHOUT ROWID" if connection.dialect.name == "sqlite" else "")
        )
    )
    for table, state in (("runs", "phase"), ("dead_letters", "state")):
        grouped = f"SELECT '{table}', {state}, count(*) FROM {table} GROUP BY {state}"  # noqa: S608
        connection.execute(text(f"INSERT INTO counts {grouped}"))


def what_is_kept_can_be_told(connection: Connection) -> None:
    """3 to 4: see its parts."""
    decisions_know_their_source(connection)
    files_know_their_last_event(connection)
    rows_are_counted(connection)


def trees_can_be_proven(connection: Connection) -> None:
    """4 to 5: tables for trees and for who was heard of; they are made because they are missing."""


STEPS: tuple[Step, ...] = (
    outputs_know_their_makers,
    files_know_the_storage_s_version,
    what_is_kept_can_be_told,
    trees_can_be_proven,
)
SCHEMA_VERSION = 1 + len(STEPS)


def bring_up(connection: Connection, place: str, tables: MetaData = metadata) -> None:
    """Make or update ``tables``. The caller has begun a transaction, and commits it.

    Raises:
        Unavailable: The database at ``place`` was written by a newer Penstock; nothing was changed.
    """
    found = schema_of(connection)
    if found is not None and found > SCHEMA_VERSION:
        raise Unavailable(
            f"{place} has schema {found}, this Penstock knows up to {SCHEMA_VERSION}; use the newer version"
        )
    for step in STEPS[found - 1 :] if found is not None else ():
        step(connection)
    tables.create_all(connection)
    for table in tables.tables.values() if found is not None else ():
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    if found is None:
        connection.execute(meta.insert().values(key="schema", value=str(SCHEMA_VERSION)))
    else:
        connection.execute(meta.update().where(meta.c.key == "schema").values(value=str(SCHEMA_VERSION)))


def schema_of(connection: Connection) -> int | None:
    """Return the schema of the database, or None if it is new."""
    if not inspect(connection).has_table(meta.name):
        return None
    found = connection.execute(meta.select().where(meta.c.key == "schema")).one_or_none()
    return None if found is None else int(found.value)
