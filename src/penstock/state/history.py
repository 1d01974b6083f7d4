"""Removal of old history, in small transactions."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, exists, select

from penstock.core import rows
from penstock.state.tables import TABLES

CHUNK_ROWS = 500
"""Rows removed in one transaction, so that commits of new ones need not wait long."""


def forget(connection: Connection, ended_before_ns: int, offset_before: int) -> int:
    """Remove ended runs and what belongs to them, and ids whose events have left the log.

    Args:
        connection: The writing one, outside of a transaction.
        ended_before_ns: Runs that ended before this POSIX time go.
        offset_before: Decisions without a run and seen ids go if their event is before this offset.

    Returns:
        How many runs were removed.
    """
    count = 0
    while True:
        with connection.begin():
            removed = _runs(connection, ended_before_ns)
        count += removed
        if removed < CHUNK_ROWS:
            break
    with connection.begin():
        _loose(connection, ended_before_ns, offset_before)
    return count


def _runs(connection: Connection, ended_before_ns: int) -> int:
    runs = TABLES[rows.RunRow]
    letters = TABLES[rows.DeadLetter]
    wanted = exists(select(letters.c.id).where(letters.c.run == runs.c.id, letters.c.state == "open"))
    is_old = and_(runs.c.ended_ns > 0, runs.c.ended_ns < ended_before_ns, ~wanted)
    old = select(runs.c.id).where(is_old).limit(CHUNK_ROWS)
    ids = [row.id for row in connection.execute(old)]
    for kind, column in ((rows.AttemptRow, "run"), (rows.TimerRow, "run"), (rows.Intent, "run")):
        table = TABLES[kind]
        connection.execute(delete(table).where(table.c[column].in_(ids)))
    connection.execute(delete(runs).where(runs.c.id.in_(ids)))
    return len(ids)


def _loose(connection: Connection, ended_before_ns: int, offset_before: int) -> None:
    decisions, runs = TABLES[rows.Decision], TABLES[rows.RunRow]
    letters, seen = TABLES[rows.DeadLetter], TABLES[rows.Seen]
    has_run = exists(select(runs.c.id).where(runs.c.id == decisions.c.run))
    old = and_(decisions.c.at_ns < ended_before_ns, ~has_run)
    connection.execute(delete(decisions).where(old))
    connection.execute(delete(letters).where(letters.c.state != "open", letters.c.at_ns < ended_before_ns))
    connection.execute(delete(seen).where(seen.c.offset < offset_before))
