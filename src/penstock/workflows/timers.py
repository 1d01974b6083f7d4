"""Deadlines that survive a restart: a row each in state, one timer in the event loop for the nearest.

Rows hold times of day, for another life of the process; within this one the monotonic clock counts, so that
nobody waits longer because a clock was set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic_ns, time_ns
from typing import Protocol

import msgspec

from penstock.core.rows import TimerRow


class TimerStore(Protocol):
    """What timers need of the state."""

    def put(self, *rows: TimerRow) -> None:
        """Stage rows."""

    def get(self, kind: type[TimerRow], *key: str) -> TimerRow | None:
        """Return a row by its id."""

    def select(self, kind: type[TimerRow], **equal: object) -> list[TimerRow]:
        """Return rows."""


class Timers:
    """All deadlines that have not come. Nothing wakes while there is none.

    Args:
        store: Where they are kept.
        due: Called with each row whose time has come, in the event loop.
    """

    def __init__(self, store: TimerStore, due: Callable[[TimerRow], None]) -> None:
        self._store = store
        self._due = due
        self._rows: dict[str, TimerRow] = {}
        self._of_run: dict[str, dict[str, None]] = {}
        self._heap: list[tuple[int, str]] = []
        self._handle: asyncio.TimerHandle | None = None

    def load(self) -> None:
        """Take over what state remembers; overdue ones come due soon."""
        for row in self._store.select(TimerRow, done=False):
            self._keep(row)
        self._arm()

    def add(self, row: TimerRow) -> None:
        """Keep ``row`` unless one of that id is kept: after a restart the earlier deadline stands."""
        if row.id not in self._rows:
            self._store.put(row)
            self._keep(row)
            self._arm()

    def drop(self, key: str) -> None:
        """Forget a deadline."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._store.put(msgspec.structs.replace(row, done=True))
            of_run = self._of_run[row.run]
            del of_run[key]
            if not of_run:
                del self._of_run[row.run]

    def drop_run(self, run: str) -> None:
        """Forget all deadlines of a run."""
        for key in list(self._of_run.get(run, ())):
            self.drop(key)

    def close(self) -> None:
        """Let go; deadlines stay in state."""
        if self._handle is not None:
            self._handle.cancel()

    def _keep(self, row: TimerRow) -> None:
        self._rows[row.id] = row
        self._of_run.setdefault(row.run, {})[row.id] = None
        heappush(self._heap, (monotonic_ns() + row.due_ns - time_ns(), row.id))

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        while self._heap and self._heap[0][1] not in self._rows:
            heappop(self._heap)
        if self._heap:
            wait_s = max(0.0, (self._heap[0][0] - monotonic_ns()) / 1e9)
            self._handle = asyncio.get_running_loop().call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._handle = None
        now = monotonic_ns()
        while self._heap and self._heap[0][0] <= now:
            row = self._rows.get(heappop(self._heap)[1])
            if row is not None:
                self.drop(row.id)
                self._due(row)
        self._arm()
