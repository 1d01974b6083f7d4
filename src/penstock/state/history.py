"""Removal of old history, in small transactions, by indexes: what stays costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, exists, select, text

from penstock.core import rows
from penstock.state.tables import TABLES

CHUNK_ROWS = 500
"""Rows removed in one transaction, so that commits of new ones need not wait long."""
_CLOSED = """DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters
    WHERE state IN ('replayed', 'dropped', 'superseded') AND at_ns < :limit LIMIT :most)"""
_WITHOUT_RUN = """DELETE FROM decisions WHERE (event_id, source, "trigger") IN (
    SELECT event_id, source, "trigger" FROM decisions WHERE run = '' AND at_ns < :limit LIMIT :most)"""
_SEEN = """DELETE FROM seen WHERE (source, event_id) IN (SELECT source, event_id
    FROM seen WHERE "offset" < :limit LIMIT :most)"""
_OF_RUN = (
    "DELETE FROM attempts WHERE run = :run",
    "DELETE FROM timers WHERE id >= :run || '/' AND id < :run || '0'",
    "DELETE FROM intents WHERE key >= :run || '/' AND key < :run || '0'",
    'DELETE FROM decisions WHERE event_id = :event AND "trigger" = :trigger AND run = :run',
    "DELETE FROM runs WHERE id = :run",
)
"""Keys of timers and intents begin with the run's id and a slash; "0" is the character after it."""


def forget(connection: Connection, ended_before_ns: int, offset_before: int) -> int:
    """Remove ended runs and what belongs to them, and ids whose events have left the log.

    Args:
        connection: The writing one, outside of a transaction.
        ended_before_ns: Runs that ended before this POSIX time go.
        offset_before: Decisions without a run and seen ids go if their event is before this offset.

    Returns:
        How many runs were removed.
    """
    count, since = 0, 0
    while True:
        with connection.begin():
            gone = _runs(connection, since, ended_before_ns)
        count += len(gone)
        if len(gone) < CHUNK_ROWS:
            break
        since = gone[-1].started_ns
    for statement, limit in (
        (_WITHOUT_RUN, ended_before_ns),
        (_CLOSED, ended_before_ns),
        (_SEEN, offset_before),
    ):
        _loose(connection, statement, limit)
    return count


def _runs(connection: Connection, since_ns: int, before_ns: int) -> Sequence[Any]:
    """Remove runs that started at ``since_ns`` or later, oldest first, and return them."""
    runs, letters = TABLES[rows.RunRow].c, TABLES[rows.DeadLetter].c
    # The letter of a run has the run's id.
    wanted = exists(select(letters.id).where(letters.id == runs.id, letters.state == "open"))
    started = and_(runs.started_ns >= since_ns, runs.started_ns < before_ns)  # what the index knows
    is_old = and_(started, runs.ended_ns > 0, runs.ended_ns < before_ns, ~wanted)
    columns = (runs.id, runs.event_id, runs.trigger, runs.started_ns)
    found = connection.execute(
        select(*columns).where(is_old).order_by(runs.started_ns).limit(CHUNK_ROWS)
    ).all()
    values = [{"run": row.id, "event": row.event_id, "trigger": row.trigger} for row in found]
    for statement in _OF_RUN if values else ():
        connection.execute(text(statement), values)
    return found


def _loose(connection: Connection, statement: str, limit: int) -> None:
    """Remove, in small transactions, what is older than ``limit``."""
    removed = CHUNK_ROWS
    while removed == CHUNK_ROWS:
        with connection.begin():
            removed = connection.execute(text(statement), {"limit": limit, "most": CHUNK_ROWS}).rowcount
