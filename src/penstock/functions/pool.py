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
import os
import time
from collections import deque

from penstock.core.function import Function
from penstock.core.ports import Answer, AnswerSink, Invocation
from penstock.functions import endings, priority
from penstock.functions.crew import Crew
from penstock.functions.endings import Ending
from penstock.functions.harvest import Harvest
from penstock.functions.lane import Lane, Lanes
from penstock.functions.overseer import Overseer
from penstock.functions.settings import CORES, PoolSettings
from penstock.functions.slot import Reply, Slot

STILLBORN_MOST = 3
"""Workers of a function in a row that may be lost before they are ready, until a call fails for it."""


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
        priority.be_prompt()
        self._settings = settings
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._crew = Crew(settings, self._loop, self)
        self._lanes = Lanes(settings.workers_max)
        self._lane_of: dict[str, Lane] = {}
        self._hungry: deque[Lane] = deque()
        self._harvest = Harvest(settings.scratch, self._crew.incarnation, self._crew.sweeper)
        self._overseer = Overseer(settings, self._loop, self._crew, self._lanes, self._grow)
        self._closed = False

    # --- Runtime ---

    def invoke(self, invocation: Invocation) -> None:
        """Start a call now or when a worker is free; see ``Runtime.invoke``."""
        lane = self._lanes.of(invocation.function)
        self._lane_of[invocation.key] = lane
        lane.queue.append(invocation)
        if self._closed:
            self._fail_queue(lane, endings.CLOSED)
        elif len(lane.queue) == 1:
            # Else there was no room a moment ago, and whoever makes room takes from the queue.
            self._serve(lane)

    def stop(self, key: str) -> None:
        """End a call; see ``Runtime.stop``."""
        lane = self._lane_of.get(key)
        if lane is None:
            return
        for slot in [slot for slot in self._crew.slots.values() if slot.lane is lane]:
            if slot.calls and slot.calls[0].key == key:
                self._crew.end_call(slot, key, endings.STOPPED)
            elif any(call.key == key for call in slot.calls):
                self._crew.recall(slot)
                if any(call.key == key for call in slot.calls):  # it has begun it, the one before has ended
                    self._crew.end_call(slot, key, endings.STOPPED)
        for call in [call for call in lane.queue if call.key == key]:
            lane.queue.remove(call)
            self._failed(call, endings.STOPPED)
        self._serve(lane)

    def release(self, answer: Answer) -> None:
        """Give back an answer's folder; what is left in it is removed."""
        self._harvest.release(answer)

    async def close(self) -> None:
        """End all workers and zygotes with all they started; calls under way are answered with an error."""
        self._closed = True
        self._overseer.close()
        await self._crew.close()
        for lane in list(self._lanes):
            self._fail_queue(lane, endings.CLOSED)

    # --- for the wiring ---

    def warm(self, function: Function) -> None:
        """Have a worker ready for the first call of a function, if there is a place for it."""
        lane = self._lanes.of(function)
        if not lane.slots and not self._closed:
            self._add(lane)

    def log_of(self, key: str) -> str | None:
        """Return ``file:start:`` of the log that a call under way writes; None if it has not begun."""
        for slot in self._crew.slots.values():
            if slot.ready and slot.calls and slot.calls[0].key == key:
                return f"{slot.log}:{slot.log_end}:"
        return None

    def held(self, function: Function) -> tuple[str, ...] | None:
        """Return which limits the kernel holds for a function's workers; None while none is ready."""
        lane = self._lanes.get(function)
        return next((slot.held for slot in lane.slots if slot.ready), None) if lane is not None else None

    async def emptied(self) -> None:
        """Return when there is no worker."""
        await self._crew.emptied()

    def sweep_earlier(self) -> None:
        """Remove what earlier lives of the engine left in the scratch folder, soon.

        Call it after recovery: until then an intent may name files in there.
        """
        self._harvest.sweep_earlier()

    # --- calls to workers ---

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
            self._overseer.begins(slot)

    # --- answers ---

    def has_said(self, slot: Slot, reply: Reply) -> None:
        """Hear that a worker is ready, or how a call went (for the crew)."""
        if reply.ready:
            self._has_started(slot, reply)
        else:
            self._has_answered(slot, reply)

    def has_ended(self, slot: Slot, why: Ending) -> None:
        """Answer the call that a worker was at when it ended (for the crew).

        What it had not begun is queued again and goes to another worker: nothing was lost of it.
        """
        if not slot.ready and slot.ending is None:
            self._is_stillborn(slot, why)
        log = slot.span(slot.written())
        for call in slot.calls:
            self._failed(call, why, log)
        if not self._closed:
            self._hand_out_place(slot.lane)

    def _is_stillborn(self, slot: Slot, why: Ending) -> None:
        """Let a call fail for a worker that died before it was ready: it would be forked again for ever.

        One that was lost by no doing of the function's is forked again a few times before that.
        """
        slot.lane.stillborn += 1
        is_forgiven = why.evicted and slot.lane.stillborn < STILLBORN_MOST
        if not is_forgiven and not slot.calls and slot.lane.queue:
            slot.lane.stillborn = 0
            slot.calls.append(slot.lane.queue.popleft())

    def has_queued(self, lane: Lane) -> None:
        """Serve a function soon: who calls this is in the middle of something (for the crew)."""
        if lane.queue:
            self._loop.call_soon(self._serve, lane)

    def _has_started(self, slot: Slot, reply: Reply) -> None:
        slot.ready, slot.broken, slot.held = True, bool(reply.broken), reply.held
        slot.lane.stillborn = 0
        self._overseer.unwatch(slot)
        if slot.calls:
            self._overseer.begins(slot)
        else:
            self._rest(slot)

    def _has_answered(self, slot: Slot, reply: Reply) -> None:
        call = slot.calls.popleft()
        self._overseer.unwatch(slot)
        # The next call goes out before this answer goes on: the worker shall not wait for what comes of it.
        was_heavy = not slot.demoted or slot.heavy
        slot.lane.heavy = slot.lane.heavy and was_heavy
        if reply.dirty:
            self._crew.end(slot, endings.STOPPED)
        elif (
            slot.leaving
            or not was_heavy
            or reply.log > self._settings.log_file_bytes_max
            or (self._hungry and self._crew.must_give_way(slot, len(self._lanes)))
        ):
            self._retire(slot)
        elif slot.calls or slot.lane.queue:
            if slot.calls:
                self._overseer.begins(slot)
            if slot.lane.queue:
                self._send(slot, slot.lane.queue.popleft())
        else:
            self._rest(slot)
        self._answer(self._harvest.gather(call, slot, reply))

    def _answer(self, answer: Answer) -> None:
        del self._lane_of[answer.key]
        self._answered(answer)

    def _failed(self, call: Invocation, why: Ending, log: str = "") -> None:
        self._answer(
            Answer(
                key=call.key,
                error=why.words,
                retryable=why.retryable,
                evicted=why.evicted,
                log=log,
                ended_ns=time.time_ns(),
            )
        )

    def _fail_queue(self, lane: Lane, why: Ending) -> None:
        while lane.queue:
            self._failed(lane.queue.popleft(), why)

    def renew(self) -> None:
        """End every worker, those at a call behind it: file systems they were born with have changed."""
        for slot in list(self._crew.slots.values()):
            if slot.ending is None and not slot.leaving:
                self._retire(slot)

    def _retire(self, slot: Slot) -> None:
        self._crew.retire(slot)
        if slot.calls:
            self._overseer.begins(slot)

    def _rest(self, slot: Slot) -> None:
        """Let a worker without calls take over what others have not begun, else wait."""
        lane = slot.lane
        for other in lane.burdened():
            if other is not slot:
                self._crew.recall(other)
        lane.idle.append(slot)
        if lane.queue:
            self._serve(lane)
        if slot.calls or slot.ending is not None:
            return
        if slot.broken or self._hungry:
            self._retire(slot)
            return
        self._overseer.rests(slot)

    def _add(self, lane: Lane) -> Slot | None:
        """Fork a worker for a function, if it may have one more."""
        try:
            slot = self._crew.hire(lane)
        except OSError as error:
            self._fail_queue(lane, endings.no_worker(lane.function, error))
            return None
        if slot is not None:
            self._overseer.starts(slot)
        return slot

    def _grow(self, lane: Lane) -> bool:
        slot = self._add(lane)
        if slot is not None:
            self._serve(lane)
        return slot is not None

    def _hand_out_place(self, lane: Lane) -> None:
        """Give the place of a worker that has ended to the function that waits longest, else to its own."""
        while self._hungry:
            waiting = self._hungry.popleft()
            if waiting.queue:
                self._serve(waiting)
                break
        self._serve(lane)
        if not lane.queue and not any(slot.lane is lane for slot in self._crew.slots.values()):
            self._lanes.leave(lane)
