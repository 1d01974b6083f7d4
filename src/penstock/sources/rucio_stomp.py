"""Rucio's messages from its STOMP broker (ActiveMQ). Needs the extra ``rucio``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.sources.file_events import readable, unreadable
from penstock.sources.rucio import Messages
from penstock.sources.stomp_queue import StompQueue, StompSettings


class RucioSettings(StompSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Rucio and the broker its daemon Hermes tells.

    Attributes:
        storage: Name that its replicas are told under.
        batch: Most messages taken at once.
    """

    storage: str
    batch: int = 100


class RucioStomp:
    """The source of kind ``rucio-stomp``. Messages are acknowledged when their events are on disk."""

    Settings = RucioSettings

    def __init__(self, settings: RucioSettings, context: SourceContext) -> None:
        self.name = context.name
        self._settings = settings
        self._context = context
        self._messages = Messages(settings.storage)
        self._ready = asyncio.Event()
        self._poisoned = False
        self._queue: StompQueue | None = None

    @classmethod
    def open(cls, settings: RucioSettings, context: SourceContext) -> RucioStomp:
        """Return the source; nothing is connected yet."""
        return cls(settings, context)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield the events of the messages that are there. See ``core.ports.Source``.

        Raises:
            Unavailable: The broker is away; what was not acknowledged comes again under the same ids.
        """
        queue = self._queue = StompQueue(self._settings)
        try:
            await queue.open()
            self._ready.set()
            while True:
                deliveries = await queue.next(self._settings.batch)
                bodies = [delivery.body for delivery in deliveries]
                events = list(readable(bodies, self._messages.events, self._poison))
                if events:
                    yield events
                if self._poisoned:  # The broker forgets it now.
                    self._poisoned = False
                    await self._context.kept()
                await queue.acknowledge(deliveries)
        finally:
            self._queue = None
            await queue.close()

    def _poison(self, body: bytes, error: Invalid) -> None:
        self._poisoned = True
        self._context.dead_letter(unreadable(self.name, body, error, time.time_ns()))

    async def ready(self) -> None:
        """Return once it is subscribed."""
        await self._ready.wait()

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing: a queue has no past."""
        nothing: tuple[Sequence[Event], ...] = ()
        for batch in nothing:
            yield batch

    async def close(self) -> None:
        """End the connection."""
        if self._queue is not None:
            self._queue.went("this source was closed")
