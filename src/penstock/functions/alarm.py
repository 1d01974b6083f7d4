"""One timer for many deadlines: it is set only while there is something to wait for."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from math import inf


class Alarm:
    """Calls ``ring`` no later than the earliest time asked for.

    Args:
        loop: Whose clock counts.
        ring: Gets the time, does what is due, and returns when it wants to be called next; ``inf`` for never.
    """

    def __init__(self, loop: AbstractEventLoop, ring: Callable[[float], float]) -> None:
        self._loop = loop
        self._ring = ring
        self._when = inf
        self._timer: TimerHandle | None = None

    def by(self, when: float) -> None:
        """Ring at ``when`` at the latest."""
        if when < self._when:
            self.cancel()
            self._when = when
            self._timer = self._loop.call_at(when, self._fire)

    def cancel(self) -> None:
        """Ring no more until asked again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._when = None, inf

    def _fire(self) -> None:
        self._timer, self._when = None, inf
        self.by(self._ring(self._loop.time()))
