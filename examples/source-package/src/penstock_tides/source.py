"""Stations connect and send lines; each is told ``ok NUMBER`` when its line is safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from penstock.core.errors import Invalid, Refused
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.sources.file_events import unreadable
from penstock_tides.records import Lines

LINE_BYTES_MAX = 1 << 16


class TidesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port that stations connect to.

    Attributes:
        storage: Name of the storage the events are told of.
        port: Of this machine; 0: any that is free.
        host: The address that is listened on.
        waiting_max: Lines that may wait to be taken; stations wait when there are more.
    """

    storage: str
    port: int = 7655
    host: str = "127.0.0.1"
    waiting_max: int = 100


class Waiting(Struct):
    """A line, and the station that wants to know when it is safe."""

    line: bytes
    station: asyncio.StreamWriter


class Tides:
    """The source of kind ``tides``."""

    Settings = TidesSettings

    def __init__(self, settings: TidesSettings, context: SourceContext) -> None:
        self.name = context.name
        self.port = settings.port
        self._settings = settings
        self._context = context
        self._lines = Lines(settings.storage)
        # Full, it makes readers of connections wait, and so the stations: nothing piles up here.
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue(settings.waiting_max)
        self._ready = asyncio.Event()
        self._closed = asyncio.Event()
        self._stations: set[asyncio.StreamWriter] = set()

    @classmethod
    def open(cls, settings: TidesSettings, context: SourceContext) -> Tides:
        """Return the source. Nothing is opened before ``events`` is asked for."""
        return cls(settings, context)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield the events of the lines that wait. Being asked for more says that they are on disk."""
        try:
            server = await asyncio.start_server(
                self._serve, self._settings.host, self.port, limit=LINE_BYTES_MAX
            )
        except OSError as error:
            raise Refused(f"port {self.port} of {self._settings.host} is not to be had: {error}") from error
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            while not self._closed.is_set():
                taken = await self._taken()
                events = [event for each in taken for event in self._read(each.line)]
                if events:
                    yield events
                await self._context.kept()  # Stations forget lines that could not be read, too.
                await self._acknowledge(taken)
        finally:
            server.close()
            for station in self._stations:
                station.close()

    async def _taken(self) -> list[Waiting]:
        """Return all that waits; wait for the first."""
        first = asyncio.create_task(self._waiting.get())
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait({first, closed}, return_when=asyncio.FIRST_COMPLETED)
            taken = [first.result()] if first.done() else []
        finally:
            first.cancel()
            closed.cancel()
        while taken and not self._waiting.empty():
            taken.append(self._waiting.get_nowait())
        return taken

    def _read(self, line: bytes) -> tuple[Event, ...]:
        try:
            return self._lines.events(line)
        except Invalid as error:
            self._context.dead_letter(unreadable(self.name, line, error, time.time_ns()))
            return ()

    async def _acknowledge(self, taken: list[Waiting]) -> None:
        for each in taken:
            if not each.station.is_closing():
                each.station.write(b"ok\n")

    async def _serve(self, lines: asyncio.StreamReader, station: asyncio.StreamWriter) -> None:
        self._stations.add(station)
        try:
            while line := await lines.readline():
                await self._waiting.put(Waiting(line.rstrip(b"\n"), station))
        except (ConnectionError, ValueError):
            station.close()  # Gone, or a line without end. What was not acknowledged comes again.
        finally:
            self._stations.discard(station)

    async def ready(self) -> None:
        """Return once stations can connect."""
        await self._ready.wait()

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing: stations cannot be asked what there is."""
        nothing: tuple[Sequence[Event], ...] = ()
        for batch in nothing:
            yield batch

    async def close(self) -> None:
        """End ``events``."""
        self._closed.set()
