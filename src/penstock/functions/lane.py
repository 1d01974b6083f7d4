"""The calls of one function and the workers that belong to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from penstock.core.function import Function
from penstock.core.ports import Invocation
from penstock.functions.slot import Slot

HEAVY_MOST = 4096
"""Functions without workers of which it is remembered that their calls use a core for long."""


class Lane:
    """A queue and the workers that serve it.

    As long as calls are queued, no worker has room: whoever makes room takes from the queue.

    Attributes:
        function: Whose calls these are.
        queue: Calls that no worker has been sent.
        slots: Its workers that may live on.
        idle: Those of them that have no call, the one used last at the end.
        workers_max: Most workers it may have.
        heavy: Whether its last call that told used a core for long, or crossed a limit: then its workers are
            born demoted (see ``functions.priority``).
        stillborn: Workers in a row that were killed, or could not be had, before they were ready.
    """

    __slots__ = ("function", "heavy", "idle", "queue", "slots", "stillborn", "workers_max")

    def __init__(self, function: Function, workers_max: int) -> None:
        self.function = function
        self.queue: deque[Invocation] = deque()
        self.slots: list[Slot] = []
        self.idle: list[Slot] = []
        self.heavy = False
        self.stillborn = 0
        self.workers_max = max(1, min(function.calls_at_once, workers_max))

    def unused(self) -> Slot | None:
        """Return a worker that is on its way and has no call yet."""
        return next((slot for slot in self.slots if not slot.calls and not slot.ready), None)

    def with_room(self, ahead: int) -> Slot | None:
        """Return the worker with the fewest calls, if it may be sent one more."""
        least = min(self.slots, key=lambda slot: len(slot.calls), default=None)
        return least if least is not None and len(least.calls) < ahead else None

    def burdened(self) -> Iterator[Slot]:
        """Yield the workers that hold calls which another could begin at once."""
        for slot in self.slots:
            if len(slot.calls) > (1 if slot.ready else 0):
                yield slot

    def drop(self, slot: Slot) -> None:
        """Forget a worker."""
        if slot in self.slots:
            self.slots.remove(slot)
        if slot in self.idle:
            self.idle.remove(slot)


class Lanes:
    """The lanes of all functions that have calls or workers.

    Args:
        workers_max: Most workers of one function, whatever concurrency it allows.
    """

    def __init__(self, workers_max: int) -> None:
        self._workers_max = workers_max
        self._lanes: dict[_Key, Lane] = {}
        self._heavy: dict[_Key, None] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __len__(self) -> int:
        return len(self._lanes)

    def of(self, function: Function) -> Lane:
        """Return the lane of a function; made if there is none."""
        key = _key(function)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(function, self._workers_max)
            lane.heavy = key in self._heavy
        return lane

    def get(self, function: Function) -> Lane | None:
        """Return the lane of a function if there is one."""
        return self._lanes.get(_key(function))

    def leave(self, lane: Lane) -> None:
        """Forget a lane that has neither calls nor workers, but not what its calls are like."""
        key = _key(lane.function)
        self._lanes.pop(key, None)
        self._heavy.pop(key, None)
        if lane.heavy:
            self._heavy[key] = None
        if len(self._heavy) > HEAVY_MOST:
            del self._heavy[next(iter(self._heavy))]


_Key = tuple[str, str, int]


def _key(function: Function) -> _Key:
    return (function.tenant, function.name, function.version)
