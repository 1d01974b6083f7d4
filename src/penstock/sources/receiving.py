"""What sources that are called have in common: they wait, and what is posted is read at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.sources.door import Door
from penstock.sources.file_events import unreadable

_NOTHING: tuple[Sequence[Event], ...] = ()


class Receiving:
    """``core.ports.Receiver`` that reads bodies made of records.

    The sender keeps what was not acknowledged, so positions are its own; ids remove what it sends twice.
    A record that cannot be read is a dead letter, and acknowledged: sent again it would be no better.

    Args:
        context: What the installation gives.
        door: Checks who posts.
        records: Splits a body; ``Invalid`` makes a dead letter of all of it.
        events: Reads one record.
    """

    def __init__(
        self,
        context: SourceContext,
        door: Door,
        records: Callable[[bytes], Iterable[bytes]],
        events: Callable[[bytes], Iterable[Event]],
    ) -> None:
        self.name = context.name
        self._context = context
        self._door = door
        self._records = records
        self._events = events
        self._closed = asyncio.Event()
        self._letters = 0
        self._kept = 0

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
        """Return the events in one request. See ``core.ports.Receiver``.

        Raises:
            Unauthenticated: The secret is missing or wrong.
        """
        self._door.check(headers, body)
        try:
            records = list(self._records(body))
        except Invalid as error:
            self._poison(body, error)
            return ()
        found: list[Event] = []
        for record in records:
            try:
                found += self._events(record)
            except Invalid as error:
                self._poison(record, error)
        return found

    async def settled(self) -> None:
        """Return once what could not be read is kept; the sender forgets it then."""
        told = self._letters
        if self._kept < told:
            await self._context.kept()
            self._kept = max(self._kept, told)

    def _poison(self, record: bytes, error: Invalid) -> None:
        self._letters += 1
        self._context.dead_letter(unreadable(self.name, record, error, time.time_ns()))

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing, and wait: what there is to tell is posted."""
        await self._closed.wait()
        for nothing in _NOTHING:
            yield nothing

    async def ready(self) -> None:
        """Return: a sender that finds nobody tries again."""

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing: who posts cannot be asked what there is."""
        for nothing in _NOTHING:
            yield nothing

    async def close(self) -> None:
        """End ``events``."""
        self._closed.set()
