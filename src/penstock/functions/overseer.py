"""The pool's clock: whose time is over, who is watched, where more workers are needed, who was idle too long.

Two alarms, set only while there is something to wait for: an idle pool never wakes.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from math import inf

from penstock.functions import endings, orders
from penstock.functions.alarm import Alarm
from penstock.functions.crew import Crew
from penstock.functions.lane import Lane
from penstock.functions.settings import PoolSettings
from penstock.functions.slot import Slot

WATCH_AFTER_S = 0.1
"""A call that lasts longer than this, in seconds, is watched by the zygote."""


class Overseer:
    """Looks after calls that last, and after workers that have none.

    Args:
        settings: Of the pool.
        loop: Whose clock counts.
        crew: The workers.
        lanes: The functions, as they come and go.
        grow: Gives a function one more worker if there may be one; whether there is.
    """

    def __init__(
        self,
        settings: PoolSettings,
        loop: AbstractEventLoop,
        crew: Crew,
        lanes: Iterable[Lane],
        grow: Callable[[Lane], bool],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._crew = crew
        self._lanes = lanes
        self._grow = grow
        self._busy = Alarm(loop, self._look_after_calls)
        self._idle = Alarm(loop, self._end_idle)

    def close(self) -> None:
        """Look after nobody any more."""
        self._busy.cancel()
        self._idle.cancel()

    def begins(self, slot: Slot) -> None:
        """Let the time of a worker's first call count from now."""
        slot.heavy = False
        slot.since = now = self._loop.time()
        self._busy.by(now + min(WATCH_AFTER_S, slot.lane.function.limits.timeout_s))

    def starts(self, slot: Slot) -> None:
        """Let the time in which a worker must be ready count from its birth."""
        self._busy.by(slot.born + WATCH_AFTER_S)

    def rests(self, slot: Slot) -> None:
        """Let the time in which a worker may be idle count from now."""
        slot.since = self._loop.time()
        self._idle.by(slot.since + self._settings.idle_s)

    def unwatch(self, slot: Slot) -> None:
        """Let a worker's call, or its start, have ended."""
        if slot.watched:
            slot.watched = False
            slot.nursery.order({"do": "unwatch", "worker": slot.number})

    def _look_after_calls(self, now: float) -> float:
        """End calls whose time is over, have long ones watched, add workers where calls keep waiting."""
        due = inf
        for slot in list(self._crew.slots.values()):
            if slot.ending is None and (slot.calls or not slot.ready):
                due = min(due, self._look_after(slot, now))
        for lane in [lane for lane in self._lanes if lane.queue or any(lane.burdened())]:
            due = min(due, now + WATCH_AFTER_S if self._relieve(lane) else inf)
        return due

    def _look_after(self, slot: Slot, now: float) -> float:
        """Do what is due for one worker; return when to look again."""
        limits = slot.lane.function.limits
        allowed_s = limits.timeout_s if slot.ready else self._settings.start_timeout_s
        deadline = slot.since + allowed_s
        if now >= deadline:
            why = endings.timeout(slot, allowed_s)
            slot.lane.heavy = True
            if slot.calls:
                self._crew.end_call(slot, slot.calls[0].key, why)
            else:
                self._crew.end(slot, why)
            return inf
        if slot.watched:
            return deadline
        if now < slot.since + WATCH_AFTER_S:
            return min(deadline, slot.since + WATCH_AFTER_S)
        slot.watched = True
        slot.nursery.order(orders.watch(slot))
        return deadline

    def _relieve(self, lane: Lane) -> bool:
        """Add a worker if all are busy with long calls; whether it may be worth asking again."""
        if any(not slot.watched or not slot.ready for slot in lane.slots):
            return True
        # Calls that were sent ahead stay where they are until the new worker is ready and takes them over.
        self._grow(lane)
        return len(lane.slots) < lane.workers_max

    def _end_idle(self, now: float) -> float:
        """End workers that have been idle for too long; return when the next one will have been."""
        due = inf
        for slot in [slot for lane in self._lanes for slot in lane.idle]:
            if slot.since + self._settings.idle_s <= now:
                self._crew.end(slot, endings.STOPPED)
            else:
                due = min(due, slot.since + self._settings.idle_s)
        return due
