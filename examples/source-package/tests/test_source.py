"""The source passes the suite that every source has to pass, told by a station as it should be."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from penstock_tides.source import Tides, TidesSettings

from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.testing.source_suite import SourceSuite


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Station:
    """Keeps its lines until it is told that they are safe; connects again when it has lost the connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.kept: list[bytes] = []
        self.more = asyncio.Event()
        self.fewer = asyncio.Event()
        self.sending = asyncio.create_task(self._send())

    def tell(self, line: bytes) -> None:
        self.kept.append(line)
        self.more.set()

    async def _send(self) -> None:
        while True:
            try:
                lines, writer = await asyncio.open_connection("127.0.0.1", self.port)
                await self._session(lines, writer)
            except ConnectionError:
                await asyncio.sleep(0.01)

    async def _session(self, lines: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        safe = asyncio.create_task(lines.readline())
        more = asyncio.create_task(self.more.wait())
        try:
            while True:
                for line in self.kept[sent:]:
                    writer.write(line + b"\n")
                sent = len(self.kept)
                self.more.clear()
                more.cancel()
                more = asyncio.create_task(self.more.wait())
                await asyncio.wait({safe, more}, return_when=asyncio.FIRST_COMPLETED)
                if safe.done():
                    if not safe.result():
                        raise ConnectionError
                    del self.kept[0]
                    self.fewer.set()
                    sent -= 1
                    safe = asyncio.create_task(lines.readline())
        finally:
            safe.cancel()
            more.cancel()
            writer.close()


class TestTides(SourceSuite):
    station: Station

    @pytest.fixture(autouse=True)
    async def _port(self, anyio_backend: str) -> AsyncIterator[None]:  # noqa: ARG002 - makes it async
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.station = Station(self.port)
        yield
        self.station.sending.cancel()
        await asyncio.wait({self.station.sending})

    def open(self, context: SourceContext) -> Tides:
        return Tides.open(TidesSettings(storage="gauges", port=self.port), context)

    async def tell(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            line = {"station": "pier", "file": f"/{number}", "number": number, "bytes": 1}
            self.station.tell(json.dumps(line | {"finished": "2026-11-21T10:00Z"}).encode())

    async def poison(self) -> None:
        self.station.tell(b"what?")

    async def heard(self, unacknowledged: int) -> None:
        while len(self.station.kept) > unacknowledged:
            self.station.fewer.clear()
            await self.station.fewer.wait()

    def number(self, event: Event) -> int:
        return int(event.subject.removeprefix("/"))
