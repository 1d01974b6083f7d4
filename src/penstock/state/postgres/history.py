"""Removal of a shard's old history, by the rules of ``state.history``, in small transactions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from penstock.state.postgres.session import Session

CHUNK_ROWS = 500
"""Rows removed in one transaction, so that commits of new ones need not wait long."""
# The letter of a run has the run's id.
_OLD_RUNS: str = """SELECT id, event_id, "trigger", started_ns FROM runs r
    WHERE shard = %(shard)s AND started_ns >= %(since)s AND started_ns < %(limit)s
    AND ended_ns > 0 AND ended_ns < %(limit)s
    AND NOT EXISTS (SELECT 1 FROM dead_letters l WHERE l.id = r.id AND l.state = 'open')
    ORDER BY started_ns LIMIT %(most)s"""
_OF_RUNS: tuple[str, ...] = (
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
_LOOSE: tuple[tuple[str, str], ...] = (
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


class Removal:
    """Removes what belongs to one shard.

    Args:
        session: The writing one.
        shard: Whose rows.
        transaction: Makes one, through the fence.
    """

    def __init__(
        self, session: Session, shard: int, transaction: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._session = session
        self._shard = shard
        self._transaction = transaction

    def forget(self, ended_before_ns: int, offset_before: int) -> int:
        """Remove old rows and return how many runs went; see ``state.history.forget``. Blocks."""
        count, since, removed = 0, 0, CHUNK_ROWS
        while removed == CHUNK_ROWS:
            removed, since = self._runs(since, ended_before_ns)
            count += removed
        limits = {"time": ended_before_ns, "offset": offset_before}
        for statement, limit in _LOOSE:
            removed = CHUNK_ROWS
            while removed == CHUNK_ROWS:
                removed = self._remove(statement, limits[limit])
        return count

    def _runs(self, since_ns: int, before_ns: int) -> tuple[int, int]:
        """Remove ended runs, oldest first; return how many, and the start of the last one."""
        asked = {"shard": self._shard, "since": since_ns, "limit": before_ns, "most": CHUNK_ROWS}
        with self._transaction():
            found = self._session.execute(_OLD_RUNS, asked).fetchall()
            runs, events, triggers, starts = (
                (list(column) for column in zip(*found, strict=True)) if found else ([], [], [], [])
            )
            given = {"shard": self._shard, "runs": runs, "events": events, "triggers": triggers}
            for statement in _OF_RUNS if runs else ():
                self._session.execute(statement, given)
        return len(runs), starts[-1] if starts else since_ns

    def _remove(self, statement: str, limit: int) -> int:
        asked = {"shard": self._shard, "limit": limit, "most": CHUNK_ROWS}
        with self._transaction():
            return self._session.execute(statement, asked).rowcount
