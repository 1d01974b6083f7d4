"""The workers of all functions: how they come, how they go, and who makes room for whom."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import Protocol
from urllib.parse import quote

from penstock.core.errors import Broken
from penstock.functions import cgroup, endings, orders
from penstock.functions.endings import Ending
from penstock.functions.lane import Lane
from penstock.functions.nurseries import Nurseries
from penstock.functions.nursery import Notice, Nursery
from penstock.functions.settings import PoolSettings
from penstock.functions.slot import Reply, Slot
from penstock.functions.sweep import Sweeper


class Employer(Protocol):
    """Who is told what workers do: the pool."""

    def has_said(self, slot: Slot, reply: Reply) -> None:
        """Hear a reply of a worker."""

    def has_ended(self, slot: Slot, why: Ending) -> None:
        """Hear that a worker has ended; the call it worked on, if any, is in its ``calls`` still."""

    def has_queued(self, lane: Lane) -> None:
        """Hear that calls which a worker had not begun may be in the queue again."""


class Crew:
    """Workers, each in its slot, from fork to funeral.

    Attributes:
        slots: All of them by number, those being ended included.
        incarnation: Begins the name of every folder in ``scratch`` that is ours, in this life of the engine.
        sweeper: Removes their folders.
    """

    def __init__(self, settings: PoolSettings, loop: asyncio.AbstractEventLoop, employer: Employer) -> None:
        self.slots: dict[int, Slot] = {}
        self.incarnation = f"{time.time_ns():x}"
        self.sweeper = Sweeper()
        self._settings = settings
        self._loop = loop
        self._employer = employer
        self._numbers = itertools.count(1)
        self._nurseries = Nurseries(loop, self._heard, self._zygote_gone, settings)
        self._emptied = asyncio.Event()

    def hire(self, lane: Lane) -> Slot | None:
        """Fork a worker for a function if it may have one more and there is a place, else None.

        When there is no place, the worker of another function that is idle longest is ended to make one.

        Raises:
            OSError: The function's interpreter cannot be started, or its folders cannot be made.
        """
        own = sum(slot.lane is lane for slot in self.slots.values())
        if own >= lane.workers_max or not self._has_place(lane):
            return None
        nursery = self._nurseries.of(lane.function.python)
        slot = self._new_slot(lane, nursery)
        self.slots[slot.number] = slot
        lane.slots.append(slot)
        self._loop.add_reader(slot.fileno(), self._readable, slot)
        nursery.workers += 1
        nursery.order(orders.fork(slot, self._settings), slot.far)
        return slot

    def must_give_way(self, slot: Slot, functions: int) -> bool:
        """Whether a worker shall leave its place to a function that has none.

        Args:
            slot: The worker.
            functions: How many functions share the places.
        """
        if any(other.ending is not None for other in self.slots.values()):
            return False
        share = self._settings.workers_total_max // max(1, functions)
        had_its_turn = self._loop.time() - slot.born > self._settings.turn_s
        return len(slot.lane.slots) > share or had_its_turn

    def recall(self, slot: Slot) -> None:
        """Put calls that a worker has not begun to the front of the queue again."""
        slot.lane.queue.extendleft(reversed(slot.take_back()))

    def retire(self, slot: Slot) -> None:
        """Send a worker no more calls, and end it unless it is at a call; then ask again after that."""
        slot.leaving = True
        slot.lane.drop(slot)
        self.recall(slot)
        if not slot.calls:
            self.end(slot, endings.STOPPED)
        self._employer.has_queued(slot.lane)

    def end_call(self, slot: Slot, key: str, why: Ending) -> None:
        """End the worker that is at the call ``key``, unless it has ended that call meanwhile.

        What it has said is heard first: an answer may wait unread, and the next call may have begun.
        """
        if slot.ending is not None:
            return
        self.retire(slot)
        while slot.ending is None and slot.calls and self._has_said_more(slot):
            pass
        if slot.ending is None and slot.calls and slot.calls[0].key == key:
            self.end(slot, why)

    def end(self, slot: Slot, why: Ending) -> None:
        """End a worker; what it has not begun is queued again, the call it works on fails with ``why``."""
        if slot.ending is not None:
            return
        slot.ending = why
        self._hang_up(slot)
        slot.lane.drop(slot)
        slot.nursery.order({"do": "kill", "worker": slot.number})
        self._employer.has_queued(slot.lane)

    async def emptied(self) -> None:
        """Return when there is no worker."""
        if self.slots:
            self._emptied.clear()
            await self._emptied.wait()

    async def close(self) -> None:
        """End all workers and zygotes with all they started, and remove their folders."""
        for slot in self.slots.values():
            self._hang_up(slot)
        await self._nurseries.close()
        for slot in list(self.slots.values()):
            slot.ending = slot.ending or endings.CLOSED
            self._bury(slot, Notice(ended=slot.number))
        await self._loop.run_in_executor(None, self.sweeper.close)

    def _new_slot(self, lane: Lane, nursery: Nursery) -> Slot:
        number = next(self._numbers)
        name = f"{self.incarnation}-{number}"
        tenant = quote(lane.function.tenant, safe="@")
        logs = os.path.join(self._settings.logs, tenant, *lane.function.reference.split("/"))
        os.makedirs(logs, exist_ok=True)
        folder, log = os.path.join(self._settings.scratch, name), os.path.join(logs, f"{name}.log")
        # Made here, not by the worker: one that outlives its zygote for a moment must not make it again.
        os.mkdir(folder)
        slot = Slot(number, lane, nursery, folder, log, self._loop.time())
        slot.demoted = lane.heavy
        return slot

    def _has_place(self, lane: Lane) -> bool:
        if len(self.slots) < self._settings.workers_total_max:
            return True
        if not any(slot.ending is not None for slot in self.slots.values()):
            others = (
                slot for slot in self.slots.values() if slot.lane is not lane and slot in slot.lane.idle
            )
            longest_idle = min(others, key=lambda slot: slot.since, default=None)
            if longest_idle is not None:
                self.end(longest_idle, endings.STOPPED)
        return False

    def _readable(self, slot: Slot) -> None:
        try:
            reply = slot.receive()
        except BlockingIOError:
            return
        except (ValueError, OSError):
            self.end(slot, endings.MEDDLED)
            return
        if slot.calls or reply.ready:
            self._employer.has_said(slot, reply)

    def _hang_up(self, slot: Slot) -> None:
        """Hear no more of a worker, once; the calls that it has not begun are queued again."""
        if slot.fileno() >= 0:
            self._loop.remove_reader(slot.fileno())
            self.recall(slot)
            slot.hang_up()

    def _heard(self, notice: Notice) -> None:
        numbers = (notice.ended, notice.breach, notice.demoted)
        number = next((number for number in numbers if number is not None), None)
        if number is None:
            raise Broken(f"a zygote said {notice}")
        slot = self.slots.get(number)
        if slot is None:
            return
        if notice.ended is not None:
            self._bury(slot, notice)
        elif notice.demoted is not None:
            self._was_demoted(slot)
        elif slot.calls:
            slot.lane.heavy = True
            self.end_call(slot, slot.calls[0].key, endings.breach(slot, notice.limit, notice.reason))

    def _was_demoted(self, slot: Slot) -> None:
        """Let a worker go after its call, unless it was born for such calls."""
        slot.heavy = slot.lane.heavy = True
        if not slot.demoted and slot.ending is None:
            slot.demoted = True
            self.retire(slot)

    def _bury(self, slot: Slot, notice: Notice) -> None:
        """Forget a worker that has ended, having heard what it said last."""
        while slot.ending is None and slot.calls and self._has_said_more(slot):
            pass
        self._hang_up(slot)
        slot.lane.drop(slot)
        del self.slots[slot.number]
        slot.nursery.workers -= 1
        slot.close()
        if not self.slots:
            self._emptied.set()
        self._employer.has_ended(slot, slot.ending or self._why(slot, notice))
        self.sweeper.remove(slot.folder)
        if self._settings.cgroup:
            self.sweeper.call(cgroup.remove, orders.group(slot, self._settings))

    def _why(self, slot: Slot, notice: Notice) -> Ending:
        group = orders.group(slot, self._settings)
        if group and cgroup.ran_out_of_memory(group):
            allowed = slot.lane.function.limits.memory_bytes
            return endings.breach(slot, "memory", f"it needed more than the {allowed} bytes that are allowed")
        return endings.of(slot, notice)

    def _has_said_more(self, slot: Slot) -> bool:
        try:
            reply = slot.receive()
        except (OSError, ValueError):
            return False
        self._employer.has_said(slot, reply)
        return True

    def _zygote_gone(self, nursery: Nursery) -> None:
        """Hear that a zygote has ended by itself; the kernel has ended its workers."""
        for slot in [slot for slot in self.slots.values() if slot.nursery is nursery]:
            self._bury(slot, Notice(ended=slot.number, reason=nursery.lost))
