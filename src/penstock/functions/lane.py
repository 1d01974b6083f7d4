"""The calls of one function and the workers that belong to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from penstock.core.function import Function
from penstock.core.ports import Invocation
from penstock.functions.slot import Slot


class Lane:
    """A queue and the workers that serve it.

    As long as calls are queued, no worker has room: whoever makes room takes from the queue.

    Attributes:
        function: Whose calls these are.
        queue: Calls that no worker has been sent.
        slots: Its workers that may live on.
        idle: Those of them that have no call, the one used last at the end.
        workers_max: Most workers it may have.
        stillborn: Workers in a row that were killed, or could not be had, before they were ready.
    """

    __slots__ = ("function", "idle", "queue", "slots", "stillborn", "workers_max")

    def __init__(self, function: Function, workers_max: int) -> None:
        self.function = function
        self.queue: deque[Invocation] = deque()
        self.slots: list[Slot] = []
        self.idle: list[Slot] = []
        self.stillborn = 0
        self.workers_max = max(1, min(function.concurrency, workers_max))

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
