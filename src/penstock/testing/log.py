"""A log in memory, for tests of what appends and follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import time_ns

from penstock.core.errors import Trimmed, Unavailable
from penstock.core.event import Event
from penstock.core.ports import Cursor, Record


class MemoryLog:
    """``core.ports.Log`` without a disk.

    Attributes:
        records: Everything that retention has left.
        durable_end: Offset behind the last record that a sync has reached.
        full: Set it, and nothing can be appended: ``Unavailable``.
        syncs: How often something was made durable.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.durable_end = 0
        self.full = False
        self.syncs = 0
        self._first = 0
        self._appended = asyncio.Event()

    async def append(self, events: Sequence[Event], *, durable: bool = True) -> Sequence[Record]:
        """Append ``events``; see ``core.ports.Log.append``."""
        records = self.write(events)
        if durable:
            await self.sync()
        return records

    def write(self, events: Sequence[Event]) -> Sequence[Record]:
        """Append without waiting; see ``core.ports.Log.write``."""
        if self.full:
            raise Unavailable("the log is full, as its test wants it", retry_after_s=0.001)
        now = max(time_ns(), self.records[-1].appended_ns if self.records else 0)
        start = self._end
        records = [Record(0, start + place, now, event) for place, event in enumerate(events)]
        self.records += records
        self._appended.set()
        self._appended = asyncio.Event()
        return records

    async def sync(self) -> None:
        """Count it, and call everything so far durable."""
        if self.durable_end < self._end:
            self.syncs += 1
            self.durable_end = self._end

    async def follow(self, start: Cursor) -> AsyncIterator[Sequence[Record]]:
        """Yield batches from ``start`` on; see ``core.ports.Log.follow``."""
        (offset,) = start.offsets or (0,)
        while True:
            if offset < self._first:
                raise Trimmed(f"the log no longer holds offset {offset}", str(self._first))
            batch = self.records[offset - self._first :]
            if batch:
                offset = batch[-1].offset + 1
                yield batch
            else:
                await self._appended.wait()

    def end(self) -> Cursor:
        """Return the position behind the last record."""
        return Cursor((self._end,))

    def trim(self, first: int) -> None:
        """Remove the records before offset ``first``, as retention would."""
        self.records = [record for record in self.records if record.offset >= first]
        self._first = first

    @property
    def _end(self) -> int:
        return self._first + len(self.records)
