"""Events from outside that arrive over HTTP: checked, deduplicated, on disk before they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from penstock.core import lifecycle
from penstock.core.errors import Forbidden, Invalid
from penstock.core.event import EVENT_BYTES_MAX, Event, encode
from penstock.core.rows import Seen
from penstock.server.parts import Parts

DEPTH_GIVEN_MAX = 1_000_000
"""Most causes that an event from outside may say stand behind it."""


def check_depth(event: Event) -> None:
    """Refuse what cannot be counted on from.

    Raises:
        Invalid: The depth is below 0 or above ``DEPTH_GIVEN_MAX``.
    """
    if not 0 <= (event.depth or 0) <= DEPTH_GIVEN_MAX:
        raise Invalid(f"event {event.id!r}: 'depth' is {event.depth}; expected 0 to {DEPTH_GIVEN_MAX}")


def refuse_ours(events: Sequence[Event]) -> None:
    """Refuse what nobody outside may say.

    Raises:
        Forbidden: An event claims a source that is ours.
        Invalid: An event has an impossible depth.
    """
    for event in events:
        if event.source.startswith(lifecycle.OWN_SOURCES):
            raise Forbidden(
                f"event {event.id!r}: source {event.source!r} is Penstock's own; use a source of yours"
            )
        check_depth(event)


def check_sizes(events: Sequence[Event]) -> None:
    """Refuse what is too large, or it would spoil the others that are written with it.

    Raises:
        Invalid: An event is.
    """
    for event in events:
        if (size := len(encode(event))) > EVENT_BYTES_MAX:
            raise Invalid(f"event {event.id!r} has {size} bytes; at most {EVENT_BYTES_MAX} are taken")


class Ingest:
    """Takes events in. What arrives in one turn of the loop shares one sync."""

    def __init__(self, parts: Parts) -> None:
        """Append to the log of ``parts``."""
        self._parts = parts
        self._fresh: dict[tuple[str, str], None] = {}
        self._batch: list[Event] = []
        self._flush: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Return, for each event, its id and whether it was new, once all are on disk.

        Raises:
            Forbidden: An event claims a source that is ours; none was taken in.
            Invalid: An event has an impossible depth; the same.
            Invalid: An event is too large; none was taken in.
            Unavailable: The log cannot take them now.
        """
        refuse_ours(events)
        return await self.append(events)

    async def append(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """The same as ``take`` for events whose source is known to be allowed.

        Raises:
            Invalid: An event is too large; none was taken in.
            Unavailable: The log cannot take them now.
        """
        check_sizes(events)
        answers, new = [], []
        for event in events:
            key = (event.source, event.id)
            known = key in self._fresh or self._parts.state.get(Seen, *key) is not None
            answers.append({"id": event.id, "new": not known})
            if not known:
                self._fresh[key] = None
                new.append(event)
        await self._append(new)
        return answers

    async def _append(self, events: list[Event]) -> None:
        """Append with everything else of this turn; also waits when there is nothing new, for duplicates
        are acknowledged only when the first one is on disk."""
        self._batch += events
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.create_future()
            loop.call_soon(self._begin)
        await asyncio.shield(self._flush)

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._write())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self) -> None:
        batch, self._batch = self._batch, []
        flush, self._flush = self._flush, None
        assert flush is not None
        try:
            records = await self._parts.log.append(batch)
        except BaseException as error:
            self._forget(batch)  # before anybody hears of it: a duplicate must not be called known now
            flush.set_exception(error)
            return
        flush.set_result(None)
        if records:
            await self._parts.pump.reached(records[-1].offset)
        self._forget(batch)

    def _forget(self, batch: list[Event]) -> None:
        for event in batch:
            self._fresh.pop((event.source, event.id), None)
