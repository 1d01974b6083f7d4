"""The end of the log, for streams: one shared ring of new entries, a position per client.

Each new record is read and encoded once, however many clients there are; a client that is behind the
ring reads from the disk at its own pace.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from pathlib import Path

from penstock.core.errors import Unavailable
from penstock.log.reader import Reader
from penstock.server.api.history import Entry, History, entry_of, readable

RING_BYTES_MAX = 8 << 20
"""Bytes of entries in the ring."""
RING_RECORDS_MAX = 5000
READ_RECORDS = 500
"""Records handed out at once."""


class Tail:
    """What became durable last.

    Args:
        folder: Of the log.
        history: Asked for what is no longer in the ring.

    Attributes:
        end: The log is durable up to this offset.
        folded: What the log up to this offset led to can be read in the state.
    """

    def __init__(self, folder: Path, history: History) -> None:
        self.end = 0
        self.folded = 0
        self._reader = Reader(folder)
        self._history = history
        self._ring: deque[Entry] = deque()
        self._bytes = 0
        self._next = 0
        self._risen: asyncio.Future[None] | None = None
        self._closed = False

    def rose(self, end: int) -> None:
        """Take in that the log is durable up to ``end``."""
        if end > self.end:
            self.end = end
            self._wake()

    def committed(self, offset: int) -> None:
        """Take in that the state has what the log up to ``offset`` led to."""
        if offset > self.folded:
            self.folded = offset
            self._wake()

    def wake(self) -> None:
        """Let everybody who waits look again, though the log is as it was."""
        self._wake()

    def _wake(self) -> None:
        risen, self._risen = self._risen, None
        if risen is not None and not risen.done():
            risen.set_result(None)

    async def moved(self) -> None:
        """Return when ``end`` or ``folded`` rises next, or when ``wake`` is called.

        Raises:
            Unavailable: The process ends.
        """
        if self._risen is None:
            self._risen = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._risen)
        if self._closed:
            raise Unavailable("Penstock is stopping")

    async def read(self, start: int, most: int = READ_RECORDS) -> list[Entry]:
        """Return the durable entries from ``start`` on; none if there are none yet.

        Raises:
            Trimmed: Retention has removed ``start``.
        """
        if start >= self.end:
            return []
        recent = start >= self.end - RING_RECORDS_MAX
        if recent and (start > self._next or not self._ring):
            self._begin(start)
        if recent and start == self._next:
            self._grow()
        first = self._next - len(self._ring)
        if not first <= start < self._next:
            return await self._history.entries(start, min(start + most, self.end))
        return list(islice(self._ring, start - first, start - first + most))

    def _begin(self, start: int) -> None:
        self._ring.clear()
        self._bytes, self._next = 0, start

    def _grow(self) -> None:
        with readable(self._reader.folder):
            for record in self._reader.read(self._next, min(self._next + READ_RECORDS, self.end)):
                entry = entry_of(record)
                self._ring.append(entry)
                self._bytes += len(entry.json)
                self._next = entry.offset + 1
        while len(self._ring) > RING_RECORDS_MAX or (self._bytes > RING_BYTES_MAX and len(self._ring) > 1):
            self._bytes -= len(self._ring.popleft().json)

    def close(self) -> None:
        """End every wait."""
        self._closed = True
        self._wake()
        self._reader.close()
