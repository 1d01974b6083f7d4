"""The pool of warm workers: calls functions within microseconds, each in a process of its own kind.

A worker belongs to one version of one function of one tenant. Zygotes (one per environment) fork and
end them; calls and answers go straight between engine and worker. See ``functions.protocol``.

Who gets a worker: a function's idle worker is used at once. If there is none, up to one per core is forked
at once, more of them when calls keep waiting. Calls that wait are sent ahead to busy workers, so that these
never wait for the engine, and are taken back when another worker can begin them sooner. When all
places are taken, idle workers of other functions go first; then functions take turns.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import deque
from math import inf
from urllib.parse import quote

from penstock.core.errors import Broken
from penstock.core.function import Function
from penstock.core.ports import Answer, AnswerSink, Invocation
from penstock.functions import cgroup, endings, harvest, orders
from penstock.functions.alarm import Alarm
from penstock.functions.lane import Lane
from penstock.functions.nurseries import Nurseries
from penstock.functions.nursery import Notice, Nursery
from penstock.functions.settings import CORES, PoolSettings
from penstock.functions.slot import Reply, Slot
from penstock.functions.sweep import Sweeper

WATCH_AFTER_S = 0.1
"""A call that lasts longer than this, in seconds, is watched by the zygote."""

_Key = tuple[str, str, int]


class Pool:
    """Warm workers of all functions of this machine (a ``core.ports.Runtime``).

    Must be made and used in the thread of a running event loop.

    Args:
        settings: Limits and places.
        answered: Gets each answer, exactly once per key, from the loop's thread.
    """

    def __init__(self, settings: PoolSettings, answered: AnswerSink) -> None:
        os.makedirs(settings.scratch, exist_ok=True)
        os.makedirs(settings.logs, exist_ok=True)
        self._settings = settings
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._incarnation = f"{time.time_ns():x}"
        self._numbers = itertools.count(1)
        self._lanes: dict[_Key, Lane] = {}
        self._lane_of: dict[str, Lane] = {}
        self._slots: dict[int, Slot] = {}
        self._nurseries = Nurseries(self._loop, self._heard, self._zygote_gone, settings)
        self._hungry: deque[Lane] = deque()
        self._sweeper = Sweeper()
        self._busy = Alarm(self._loop, self._look_after_calls)
        self._idle = Alarm(self._loop, self._end_idle)
        self._emptied = asyncio.Event()
        self._closed = False

    # --- Runtime ---

    def invoke(self, invocation: Invocation) -> None:
        """Start a call now or when a worker is free; see ``Runtime.invoke``."""
        lane = self._lane(invocation.function)
        self._lane_of[invocation.key] = lane
        lane.queue.append(invocation)
        if self._closed:
            self._fail_queue(lane, endings.CLOSED, retryable=True)
        elif len(lane.queue) == 1:
            # Else there was no room a moment ago, and whoever makes room takes from the queue.
            self._serve(lane)

    def stop(self, key: str) -> None:
        """End a call; see ``Runtime.stop``."""
        lane = self._lane_of.get(key)
        if lane is None:
            return
        for slot in [slot for slot in self._slots.values() if slot.lane is lane]:
            if any(call.key == key for call in slot.calls):
                self._recall(slot)
                if slot.calls and slot.calls[0].key == key:
                    self._end(slot, endings.STOPPED, retryable=False)
        for call in [call for call in lane.queue if call.key == key]:
            lane.queue.remove(call)
            self._answer(Answer(key=key, error=endings.STOPPED, retryable=False))
        self._serve(lane)

    def release(self, answer: Answer) -> None:
        """Give back an answer's folder; what is left in it is removed."""
        if not answer.scratch:
            return
        try:
            os.rmdir(answer.scratch)
        except FileNotFoundError:
            return
        except OSError:
            self._sweeper.remove(answer.scratch)

    async def close(self) -> None:
        """End all workers and zygotes with all they started; calls under way are answered with an error."""
        self._closed = True
        self._busy.cancel()
        self._idle.cancel()
        for slot in self._slots.values():
            self._hang_up(slot)
        await self._nurseries.close()
        for slot in list(self._slots.values()):
            slot.ending = slot.ending or endings.CLOSED
            self._bury(slot, Notice(ended=slot.number))
        for lane in list(self._lanes.values()):
            self._fail_queue(lane, endings.CLOSED, retryable=True)
        await self._loop.run_in_executor(None, self._sweeper.close)

    # --- for the wiring ---

    def warm(self, function: Function) -> None:
        """Have a worker ready for the first call of a function, if there is a place for it."""
        lane = self._lane(function)
        if not lane.slots and not self._closed:
            self._add(lane)

    def log_of(self, key: str) -> str | None:
        """Return ``file:start:`` of the log that a call under way writes; None if it has not begun."""
        lane = self._lane_of.get(key)
        for slot in lane.slots if lane is not None else ():
            if slot.calls and slot.calls[0].key == key:
                return f"{slot.log}:{slot.log_end}:"
        return None

    def held(self, function: Function) -> tuple[str, ...] | None:
        """Return which limits the kernel holds for a function's workers; None while none is ready."""
        lane = self._lanes.get(_key(function))
        return next((slot.held for slot in lane.slots if slot.ready), None) if lane is not None else None

    async def emptied(self) -> None:
        """Return when there is no worker."""
        if self._slots:
            self._emptied.clear()
            await self._emptied.wait()

    def sweep_earlier(self) -> None:
        """Remove what earlier lives of the engine left in the scratch folder, soon.

        Call it after recovery: until then an intent may name files in there.
        """
        for name in os.listdir(self._settings.scratch):
            if not name.startswith(self._incarnation):
                self._sweeper.remove(os.path.join(self._settings.scratch, name))

    # --- calls to workers ---

    def _lane(self, function: Function) -> Lane:
        key = _key(function)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(function, self._settings.workers_max)
        return lane

    def _serve(self, lane: Lane) -> None:
        """Send queued calls to workers that have room, forking up to one per core."""
        while lane.queue:
            slot = lane.idle.pop() if lane.idle else lane.unused()
            if slot is None and len(lane.slots) < CORES:
                slot = self._add(lane)
            slot = slot or lane.with_room(self._settings.ahead)
            if slot is None or not lane.queue:
                break
            self._send(slot, lane.queue.popleft())
        if lane.queue and not lane.slots and lane not in self._hungry:
            self._hungry.append(lane)

    def _send(self, slot: Slot, call: Invocation) -> None:
        slot.send(call)
        if len(slot.calls) == 1:
            self._begins(slot)

    def _begins(self, slot: Slot) -> None:
        """Let the time of a worker's first call count from now."""
        slot.since = now = self._loop.time()
        self._busy.by(now + min(WATCH_AFTER_S, slot.lane.function.limits.timeout_s))

    def _unwatch(self, slot: Slot) -> None:
        if slot.watched:
            slot.watched = False
            slot.nursery.order({"do": "unwatch", "worker": slot.number})

    def _recall(self, slot: Slot) -> None:
        """Put calls that a worker has not begun to the front of the queue again."""
        slot.lane.queue.extendleft(reversed(slot.take_back()))

    # --- answers ---

    def _readable(self, slot: Slot) -> None:
        try:
            reply = slot.receive()
        except BlockingIOError:
            return
        except (ValueError, OSError):
            self._end(slot, endings.MEDDLED, retryable=False)
            return
        if reply.ready:
            self._has_started(slot, reply)
        elif slot.calls:
            self._has_answered(slot, reply)

    def _has_started(self, slot: Slot, reply: Reply) -> None:
        slot.ready, slot.broken, slot.held = True, bool(reply.broken), reply.held
        self._unwatch(slot)
        if slot.calls:
            self._begins(slot)
        else:
            self._rest(slot)

    def _has_answered(self, slot: Slot, reply: Reply) -> None:
        call = slot.calls.popleft()
        self._unwatch(slot)
        # The next call goes out before this answer goes on: the worker shall not wait for what comes of it.
        if reply.dirty:
            self._end(slot, endings.STOPPED, retryable=True)
        elif (
            slot.leaving
            or reply.log > self._settings.log_file_bytes_max
            or (self._hungry and self._must_give_way(slot))
        ):
            self._retire(slot)
        elif slot.calls or slot.lane.queue:
            if slot.calls:
                self._begins(slot)
            if slot.lane.queue:
                self._send(slot, slot.lane.queue.popleft())
        else:
            self._rest(slot)
        self._answer(self._gather(call, slot, reply))

    def _gather(self, call: Invocation, slot: Slot, reply: Reply) -> Answer:
        folder = os.path.join(self._settings.scratch, f"{self._incarnation}-{slot.number}-{reply.folder}")
        answer = harvest.gather(call, slot, reply, folder)
        if reply.files and not answer.scratch:
            self._sweeper.remove(folder)
        return answer

    def _answer(self, answer: Answer) -> None:
        del self._lane_of[answer.key]
        self._answered(answer)

    def _fail_queue(self, lane: Lane, error: str, *, retryable: bool) -> None:
        while lane.queue:
            call = lane.queue.popleft()
            self._answer(Answer(key=call.key, error=error, retryable=retryable, ended_ns=time.time_ns()))

    def _rest(self, slot: Slot) -> None:
        """Let a worker without calls take over what others have not begun, else wait."""
        lane = slot.lane
        for other in lane.burdened():
            if other is not slot:
                self._recall(other)
        lane.idle.append(slot)
        if lane.queue:
            self._serve(lane)
        if slot.calls or slot.ending is not None:
            return
        if slot.broken or self._hungry:
            self._retire(slot)
            return
        slot.since = self._loop.time()
        self._idle.by(slot.since + self._settings.idle_s)

    # --- workers come and go ---

    def _add(self, lane: Lane) -> Slot | None:
        """Fork a worker for a function if it may have one more and a place can be made; else None."""
        own = sum(slot.lane is lane for slot in self._slots.values())
        if own >= lane.workers_max or not self._has_place(lane):
            return None
        try:
            nursery = self._nurseries.of(lane.function.python)
        except OSError as error:
            self._fail_queue(lane, endings.no_interpreter(lane.function, error), retryable=False)
            return None
        slot = self._new_slot(lane, nursery)
        self._slots[slot.number] = slot
        lane.slots.append(slot)
        self._loop.add_reader(slot.fileno(), self._readable, slot)
        nursery.workers += 1
        nursery.order(orders.fork(slot, self._settings), slot.far)
        self._busy.by(slot.born + WATCH_AFTER_S)
        return slot

    def _new_slot(self, lane: Lane, nursery: Nursery) -> Slot:
        number = next(self._numbers)
        name = f"{self._incarnation}-{number}"
        tenant = quote(lane.function.tenant, safe="@")
        logs = os.path.join(self._settings.logs, tenant, *lane.function.reference.split("/"))
        os.makedirs(logs, exist_ok=True)
        folder, log = os.path.join(self._settings.scratch, name), os.path.join(logs, f"{name}.log")
        return Slot(number, lane, nursery, folder, log, self._loop.time())

    def _has_place(self, lane: Lane) -> bool:
        """Whether another worker may be forked; an idle one of another function is ended to make room."""
        if len(self._slots) < self._settings.workers_total_max:
            return True
        if not any(slot.ending for slot in self._slots.values()):
            others = (slot for each in self._lanes.values() if each is not lane for slot in each.idle)
            longest_idle = min(others, key=lambda slot: slot.since, default=None)
            if longest_idle is not None:
                self._end(longest_idle, endings.STOPPED, retryable=True)
        return False

    def _must_give_way(self, slot: Slot) -> bool:
        """Whether a worker's place goes to a function that has none, for its own has had its share."""
        if any(other.ending is not None for other in self._slots.values()):
            return False
        share = self._settings.workers_total_max // max(1, len(self._lanes))
        had_its_turn = self._loop.time() - slot.born > self._settings.turn_s
        return len(slot.lane.slots) > share or had_its_turn

    def _retire(self, slot: Slot) -> None:
        """Send a worker no more calls, and end it when it has done the one it may have begun."""
        slot.leaving = True
        slot.lane.drop(slot)
        self._recall(slot)
        if slot.calls:
            self._begins(slot)
        else:
            self._end(slot, endings.STOPPED, retryable=True)
        self._serve_soon(slot.lane)

    def _end(self, slot: Slot, why: str, *, retryable: bool) -> None:
        """End a worker; calls that it has not begun are queued again, the one it works on is answered."""
        if slot.ending is not None:
            return
        slot.ending, slot.retryable = why, retryable
        self._hang_up(slot)
        slot.lane.drop(slot)
        slot.nursery.order({"do": "kill", "worker": slot.number})
        self._serve_soon(slot.lane)

    def _serve_soon(self, lane: Lane) -> None:
        # Not from here: who calls is in the middle of something.
        if lane.queue:
            self._loop.call_soon(self._serve, lane)

    def _hang_up(self, slot: Slot) -> None:
        """Hear no more of a worker, once; the calls that it has not begun are queued again."""
        if slot.fileno() >= 0:
            self._loop.remove_reader(slot.fileno())
            self._recall(slot)
            slot.hang_up()

    def _heard(self, notice: Notice) -> None:
        if notice.ended is not None:
            slot = self._slots.get(notice.ended)
            if slot is not None:
                self._bury(slot, notice)
        elif notice.breach is not None:
            slot = self._slots.get(notice.breach)
            if slot is not None and slot.ending is None:
                self._end(slot, endings.breach(slot, notice), retryable=False)
        else:
            raise Broken(f"a zygote said {notice}")

    def _bury(self, slot: Slot, notice: Notice) -> None:
        """Forget a worker that has ended; answer the call it worked on."""
        while slot.ending is None and slot.fileno() >= 0 and slot.calls and self._has_said_more(slot):
            pass
        self._hang_up(slot)
        slot.lane.drop(slot)
        del self._slots[slot.number]
        slot.nursery.workers -= 1
        slot.close()
        if not self._slots:
            self._emptied.set()
        why = slot.ending or endings.of(slot, notice)
        if not slot.ready and not slot.calls and slot.ending is None and slot.lane.queue:
            # It died before it was ready. Without this failure it would be forked again for ever.
            slot.calls.append(slot.lane.queue.popleft())
        log = slot.span(slot.written())
        self._clean(slot)
        for call in slot.calls:
            now_ns = time.time_ns()
            self._answer(Answer(key=call.key, error=why, retryable=slot.retryable, log=log, ended_ns=now_ns))
        if not self._closed:
            self._hand_out_place(slot.lane)

    def _has_said_more(self, slot: Slot) -> bool:
        try:
            reply = slot.receive()
        except (OSError, ValueError):
            return False
        if reply.ready:
            self._has_started(slot, reply)
        else:
            self._has_answered(slot, reply)
        return True

    def _clean(self, slot: Slot) -> None:
        self._sweeper.remove(slot.folder)
        if self._settings.cgroup:
            self._sweeper.call(cgroup.remove, orders.group(slot, self._settings))

    def _hand_out_place(self, lane: Lane) -> None:
        """Give the place of a worker that has ended to the function that waits longest, else to its own."""
        while self._hungry:
            waiting = self._hungry.popleft()
            if waiting.queue:
                self._serve(waiting)
                break
        self._serve(lane)
        if not lane.queue and not any(slot.lane is lane for slot in self._slots.values()):
            self._lanes.pop(_key(lane.function), None)

    def _zygote_gone(self, nursery: Nursery) -> None:
        """Hear that a zygote has ended by itself; the kernel has ended its workers."""
        for slot in [slot for slot in self._slots.values() if slot.nursery is nursery]:
            self._bury(slot, Notice(ended=slot.number, reason=nursery.lost))

    # --- time ---

    def _look_after_calls(self, now: float) -> float:
        """End calls whose time is over, have long ones watched, add workers where calls keep waiting."""
        due = inf
        for slot in list(self._slots.values()):
            if slot.ending is None and (slot.calls or not slot.ready):
                due = min(due, self._look_after(slot, now))
        for lane in [lane for lane in self._lanes.values() if lane.queue or any(lane.burdened())]:
            due = min(due, now + WATCH_AFTER_S if self._grow(lane) else inf)
        return due

    def _look_after(self, slot: Slot, now: float) -> float:
        """Do what is due for one worker; return when to look again."""
        limits = slot.lane.function.limits
        allowed_s = limits.timeout_s if slot.ready else self._settings.start_timeout_s
        deadline = slot.since + allowed_s
        if now >= deadline:
            self._end(slot, endings.timeout(slot, allowed_s), retryable=False)
            return inf
        if slot.watched:
            return deadline
        if now < slot.since + WATCH_AFTER_S:
            return min(deadline, slot.since + WATCH_AFTER_S)
        slot.watched = True
        slot.nursery.order(orders.watch(slot))
        return deadline

    def _grow(self, lane: Lane) -> bool:
        """Add a worker if all are busy with long calls; whether it may be worth asking again."""
        if any(not slot.watched or not slot.ready for slot in lane.slots):
            return True
        # Calls that were sent ahead stay where they are until the new worker is ready and takes them over.
        if self._add(lane) is not None:
            self._serve(lane)
        return len(lane.slots) < lane.workers_max

    def _end_idle(self, now: float) -> float:
        """End workers that have been idle for too long; return when the next one will have been."""
        due = inf
        for slot in [slot for lane in self._lanes.values() for slot in lane.idle]:
            if slot.since + self._settings.idle_s <= now:
                self._end(slot, endings.STOPPED, retryable=True)
            else:
                due = min(due, slot.since + self._settings.idle_s)
        return due


def _key(function: Function) -> _Key:
    return (function.tenant, function.name, function.version)
