"""Removal of a shard's old history, by the rules of ``state.history``, in small transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from penstock.core.event import subject_of
from penstock.state.history import Orphan
from penstock.state.postgres.session import Session
from penstock.state.postgres.tables import head
from penstock.state.postgres.texts import stored

CHUNK_ROWS = 500
"""Rows removed in one transaction, so that commits of new ones need not wait long."""
# The letter of a run has the run's id.
_OLD_RUNS = """SELECT id, event_id, "trigger", started_ns FROM runs r
    WHERE shard = %(shard)s AND started_ns >= %(since)s AND started_ns < %(limit)s
    AND ended_ns > 0 AND ended_ns < %(limit)s
    AND NOT EXISTS (SELECT 1 FROM dead_letters l WHERE l.id = r.id AND l.state = 'open')
    ORDER BY started_ns LIMIT %(most)s"""
_OF_RUNS = (
    "DELETE FROM attempts WHERE shard = %(shard)s AND run = ANY(%(runs)s)",
    """DELETE FROM timers t USING unnest(%(runs)s::text[]) AS g(run)
        WHERE t.shard = %(shard)s AND t.id >= g.run || '/' AND t.id < g.run || '0'""",
    """DELETE FROM intents t USING unnest(%(runs)s::text[]) AS g(run)
        WHERE t.shard = %(shard)s AND t.key >= g.run || '/' AND t.key < g.run || '0'""",
    """DELETE FROM decisions d USING unnest(%(events)s::text[], %(triggers)s::text[], %(runs)s::text[])
        AS g(event_id, "trigger", run) WHERE d.shard = %(shard)s AND d.event_id = g.event_id
        AND d."trigger" = g."trigger" AND d.run = g.run""",
    "DELETE FROM runs WHERE shard = %(shard)s AND id = ANY(%(runs)s)",
)
"""Keys of timers and intents begin with the run's id and a slash; "0" is the character after it."""
_LOOSE = (
    (
        """DELETE FROM decisions WHERE ctid = ANY(ARRAY(SELECT ctid FROM decisions
        WHERE run = '' AND at_ns < %(limit)s AND shard = %(shard)s LIMIT %(most)s))""",
        "time",
    ),
    (
        """DELETE FROM dead_letters WHERE ctid = ANY(ARRAY(SELECT ctid FROM dead_letters
        WHERE shard = %(shard)s AND state IN ('replayed', 'dropped', 'superseded') AND at_ns < %(limit)s
        LIMIT %(most)s))""",
        "time",
    ),
    (
        """DELETE FROM seen WHERE ctid = ANY(ARRAY(SELECT ctid FROM seen
        WHERE "offset" < %(limit)s AND shard = %(shard)s LIMIT %(most)s))""",
        "offset",
    ),
)
"""Statements, and what their limit is."""
_GONE = """SELECT "offset", storage, path FROM files WHERE NOT present AND generation > 0
    AND shard = %(shard)s AND "offset" < %(limit)s
    AND ("offset", storage, path) > (%(offset)s, %(storage)s, %(path)s)
    ORDER BY "offset", storage, path LIMIT %(most)s"""
_NEEDED = """SELECT subject FROM runs WHERE subject = ANY(%(subjects)s)
    UNION SELECT subject FROM decisions WHERE subject = ANY(%(subjects)s)
    UNION SELECT subject FROM dead_letters WHERE subject = ANY(%(subjects)s) AND state = 'open'"""
_FORGET_FILES = f"""DELETE FROM files f
    USING unnest(%(storages)s::text[], %(paths)s::bytea[]) AS g(storage, path)
    WHERE f.storage = g.storage AND {head("f.path")} = {head("g.path")} AND f.path = g.path
    AND NOT f.present AND f.shard = %(shard)s"""  # noqa: S608
_OUTPUTS = f"""SELECT path, run, published_ns,
    NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = outputs.run) FROM outputs
    WHERE shard = %(shard)s AND {head("path")} >= {head("%(behind)s::bytea")} AND path > %(behind)s
    ORDER BY {head("path")}, path LIMIT %(most)s"""  # noqa: S608
_FORGET_OUTPUTS = f"""DELETE FROM outputs o USING unnest(%(paths)s::bytea[], %(runs)s::text[]) AS g(path, run)
    WHERE {head("o.path")} = {head("g.path")} AND o.path = g.path AND o.run = g.run
    AND o.shard = %(shard)s"""  # noqa: S608
_LOOKED = "SELECT value FROM meta WHERE key = %s"
_LOOK_ON = """INSERT INTO meta (key, value) VALUES (%s, %s)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
Behind = tuple[int, str, bytes]


class Removal:
    """Removes what belongs to one shard. Everything blocks.

    Args:
        connected: Returns the writing session.
        shard: Whose rows.
        transaction: Makes one in it, through the fence.
    """

    def __init__(
        self,
        connected: Callable[[], Session],
        shard: int,
        transaction: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._connected = connected
        self._shard = shard
        self._transaction = transaction
        self._asked = {"shard": shard, "most": CHUNK_ROWS}

    def forget(self, ended_before_ns: int, offset_before: int) -> Iterator[int]:
        """Remove old rows, and yield after each transaction; see ``state.history.forget``."""
        removed, since = CHUNK_ROWS, 0
        while removed == CHUNK_ROWS:
            removed, since = self._runs(since, ended_before_ns)
            yield removed
        limits = {"time": ended_before_ns, "offset": offset_before}
        for statement, limit in _LOOSE:
            removed = CHUNK_ROWS
            while removed == CHUNK_ROWS:
                with self._transaction():
                    asked = {**self._asked, "limit": limits[limit]}
                    removed = self._connected().execute(statement, asked).rowcount
                yield 0
        behind: Behind | None = (-1, "", b"")
        while behind is not None:
            behind = self._files(behind, offset_before)
            yield 0

    def _runs(self, since_ns: int, before_ns: int) -> tuple[int, int]:
        """Remove ended runs, oldest first; return how many, and the start of the last one."""
        with self._transaction():
            asked = {**self._asked, "since": since_ns, "limit": before_ns}
            found = self._connected().execute(_OLD_RUNS, asked).fetchall()
            given = {
                "shard": self._shard,
                "runs": [row[0] for row in found],
                "events": [row[1] for row in found],
                "triggers": [row[2] for row in found],
            }
            for statement in _OF_RUNS if found else ():
                self._connected().execute(statement, given)
        return len(found), found[-1][3] if found else since_ns

    def _files(self, behind: Behind, before: int) -> Behind | None:
        """Remove rows of deleted files that nothing remembers; return where to go on."""
        with self._transaction():
            place = dict(zip(("offset", "storage", "path"), behind, strict=True))
            asked = {**self._asked, **place, "limit": before}
            found = self._connected().execute(_GONE, asked).fetchall()
            subjects = [stored(subject_of(path)) for _, _, path in found]
            told = self._connected().execute(_NEEDED, {"subjects": subjects}).fetchall()
            needed = {subject for (subject,) in told}
            gone = [row for row, subject in zip(found, subjects, strict=True) if subject not in needed]
            given = {"storages": [row[1] for row in gone], "paths": [row[2] for row in gone]}
            self._connected().execute(_FORGET_FILES, {**given, "shard": self._shard})
        return (found[-1][0], found[-1][1], found[-1][2]) if len(found) == CHUNK_ROWS else None

    def orphans(self, published_before_ns: int) -> tuple[list[Orphan], bool]:
        """Look at the next outputs; see ``state.history.orphans``."""
        key = f"outputs looked at by {self._shard}"
        with self._transaction():
            kept = self._connected().execute(_LOOKED, (key,)).fetchone()
            behind = bytes.fromhex(kept[0]) if kept is not None else b""
            found = self._connected().execute(_OUTPUTS, {**self._asked, "behind": behind}).fetchall()
            is_end = len(found) < CHUNK_ROWS
            self._connected().execute(_LOOK_ON, (key, "" if is_end else found[-1][0].hex()))
        old = (
            (path, run) for path, run, at_ns, forgotten in found if forgotten and at_ns < published_before_ns
        )
        return [Orphan(path, run) for path, run in old], is_end

    def forget_outputs(self, gone: Sequence[Orphan]) -> None:
        """Remove outputs' rows, but where another run has published at the path meanwhile."""
        given = {"paths": [each.path for each in gone], "runs": [each.run for each in gone]}
        with self._transaction():
            self._connected().execute(_FORGET_OUTPUTS, {**given, "shard": self._shard})
