"""What time it is for what is removed by its age.

A clock that stands ahead for an hour (no time server at the start, a virtual machine that was frozen) would
make everything look old, and what is removed does not come back. So this time goes at most ``PACE`` times as
fast as the machine's own running time, and ``START_NS`` further at each start, however far the clock is.
After a long standstill things are removed later than their rule says, never earlier.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from penstock.core.rows import PositionRow, Row

PACE = 2
START_NS = 86_400 * 10**9
SET_NS = 1_767_225_600 * 10**9
"""A clock before 2026 was never set."""
_KEY = ("penstock/calendar", "now_ns")


class Memory(Protocol):
    """Where the time is kept."""

    def put(self, *rows: Row) -> None:
        """Stage rows."""

    def get(self, kind: type[PositionRow], *key: str) -> PositionRow | None:
        """Return a row by its key."""


def running_ns() -> int:
    """Return how long the machine has been running, in nanoseconds, whatever its clock says."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Calendar:
    """See the module.

    Args:
        memory: Keeps the time over a restart.
        wall: The machine's clock, POSIX nanoseconds.
        running: A clock that never jumps, in nanoseconds.
    """

    def __init__(
        self,
        memory: Memory,
        wall: Callable[[], int] = time.time_ns,
        running: Callable[[], int] = running_ns,
    ) -> None:
        self._memory = memory
        self._wall = wall
        self._running = running
        self._since_ns = running()
        kept = memory.get(PositionRow, *_KEY)
        self._latest_ns = int(kept.position) + START_NS if kept is not None else None

    def now_ns(self) -> int:
        """Return a time, POSIX nanoseconds, that is never later than the clock's."""
        wall_ns = self._wall()
        if wall_ns < SET_NS:
            return wall_ns
        if self._latest_ns is None:
            self._latest_ns, self._since_ns = wall_ns, self._running()
        now_ns = min(wall_ns, self._latest_ns + PACE * (self._running() - self._since_ns))
        kept = self._memory.get(PositionRow, *_KEY)
        if kept is None or int(kept.position) < now_ns:
            self._memory.put(PositionRow(*_KEY, str(now_ns)))
        return now_ns
