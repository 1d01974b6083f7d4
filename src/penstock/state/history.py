"""Removal of old history, in small transactions, by indexes: what stays costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, exists, select, text

from penstock.core import rows
from penstock.core.event import subject_of
from penstock.state.tables import TABLES, meta

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
_GONE = """SELECT storage, path, "offset",
    EXISTS (SELECT 1 FROM runs WHERE runs.subject = subject_of(files.path))
    OR EXISTS (SELECT 1 FROM decisions WHERE decisions.subject = subject_of(files.path))
    OR EXISTS (SELECT 1 FROM dead_letters l WHERE l.subject = subject_of(files.path) AND l.state = 'open')
    AS needed
    FROM files WHERE present = 0 AND generation > 0 AND "offset" < :limit
    AND ("offset", storage, path) > (:offset, :storage, :path)
    ORDER BY "offset", storage, path LIMIT :most"""
_OUTPUTS = """SELECT path, run, published_ns, NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = outputs.run)
    AS forgotten FROM outputs WHERE path > :path ORDER BY path LIMIT :most"""
_LOOKED = "outputs looked at"


class Orphan(NamedTuple):
    """An output whose run is forgotten."""

    path: bytes
    run: str


def forget(connection: Connection, ended_before_ns: int, offset_before: int) -> Iterator[int]:
    """Remove ended runs and what belongs to them, and what is known of events that have left the log.

    Args:
        connection: The writing one, outside of a transaction.
        ended_before_ns: Runs that ended before this POSIX time go.
        offset_before: Where the log begins: seen ids and deleted files' rows go if their last event is
            before it.

    Yields:
        After each transaction, how many runs it has removed. Others may write in between.
    """
    since, found = 0, CHUNK_ROWS
    while found == CHUNK_ROWS:
        with connection.begin():
            gone = _runs(connection, since, ended_before_ns)
        found = len(gone)
        since = gone[-1].started_ns if gone else since
        yield found
    for statement, limit in (
        (_WITHOUT_RUN, ended_before_ns),
        (_CLOSED, ended_before_ns),
        (_SEEN, offset_before),
    ):
        removed = CHUNK_ROWS
        while removed == CHUNK_ROWS:
            with connection.begin():
                removed = connection.execute(text(statement), {"limit": limit, "most": CHUNK_ROWS}).rowcount
            yield 0
    for _ in forget_files(connection, offset_before):
        yield 0


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


def forget_files(connection: Connection, offset_before: int) -> Iterator[None]:
    """Remove what is known of deleted files whose last event has left the log, when nothing remembers them.

    A path that is written to again begins with generation 1, so with ids that it had before: no run, no
    decision and no open dead letter may stand under them. It yields after each transaction.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.create_function("subject_of", 1, subject_of, deterministic=True)
    place: tuple[int, str, bytes] | None = (-1, "", b"")
    while place is not None:
        with connection.begin():
            place = _files(connection, place, offset_before)
        yield


def _files(
    connection: Connection, behind: tuple[int, str, bytes], before: int
) -> tuple[int, str, bytes] | None:
    offset, storage, path = behind
    asked = {"offset": offset, "storage": storage, "path": path, "limit": before, "most": CHUNK_ROWS}
    found = connection.execute(text(_GONE), asked).all()
    values = [{"storage": row.storage, "path": row.path} for row in found if not row.needed]
    if values:
        connection.execute(text("DELETE FROM files WHERE storage = :storage AND path = :path"), values)
    if len(found) < CHUNK_ROWS:
        return None
    return found[-1].offset, found[-1].storage, found[-1].path


def orphans(connection: Connection, published_before_ns: int) -> tuple[list[Orphan], bool]:
    """Look at the next outputs, and return those whose run is forgotten, and whether it was the last round.

    Where it was is kept in the database, so that each call goes on where the last one ended, also after a
    restart; behind the last output it begins again.
    """
    with connection.begin():
        kept = connection.execute(meta.select().where(meta.c.key == _LOOKED)).one_or_none()
        behind = bytes.fromhex(kept.value) if kept is not None else b""
        found = connection.execute(text(_OUTPUTS), {"path": behind, "most": CHUNK_ROWS}).all()
        is_end = len(found) < CHUNK_ROWS
        connection.execute(meta.delete().where(meta.c.key == _LOOKED))
        if not is_end:
            connection.execute(meta.insert().values(key=_LOOKED, value=found[-1].path.hex()))
    old = (row for row in found if row.forgotten and row.published_ns < published_before_ns)
    return [Orphan(row.path, row.run) for row in old], is_end


def forget_outputs(connection: Connection, gone: Sequence[Orphan]) -> None:
    """Remove outputs' rows, but where another run has published at the path meanwhile."""
    with connection.begin():
        connection.execute(
            text("DELETE FROM outputs WHERE path = :path AND run = :run"), [each._asdict() for each in gone]
        )
