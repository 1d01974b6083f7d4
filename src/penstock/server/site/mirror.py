"""A copy of the log's newest part, for the API of a site: read as the embedded log is read.

All partitions lie in it one after another as they came, under numbers of its own, so pages and streams need
not know of partitions, and however many people look, the brokers have one reader. What retention lets go
is still with the brokers. Where the copy stands is kept beside it, behind what was copied: after a crash
some records are copied twice at worst.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from penstock.core.errors import Trimmed, Unavailable
from penstock.core.ports import Cursor, Record
from penstock.log.embedded import EmbeddedLog, LogSettings
from penstock.log.kafka import KafkaLog, KafkaLogSettings

logger = logging.getLogger("penstock.site")
BACK_S = 86400.0
"""How far back a new copy begins, in seconds."""
NOTE_NAME = "mirrored.json"
"""Beside the copy's folder: where it stands."""
NOTE_EVERY = 64
"""Batches after which the position is noted."""


class Mirror:
    """Copies a topic into ``folder``.

    Args:
        kafka: The topic.
        folder: Of the copy.
        settings: How much of it is kept.
        synced: Called with the copy's end whenever it rises.
        trouble: Called with words while the topic cannot be followed, with None when it can.
    """

    def __init__(
        self,
        kafka: KafkaLogSettings,
        folder: Path,
        settings: LogSettings,
        synced: Callable[[int], None],
        trouble: Callable[[str | None], None],
    ) -> None:
        self._kafka = kafka
        self._note = folder.parent / NOTE_NAME
        self._copy = EmbeddedLog(folder, settings, synced)
        self._trouble = trouble
        self.offsets: dict[int, int] = {}
        self._moved: asyncio.Future[None] | None = None

    async def keep(self) -> None:
        """Copy for ever; run it as a task."""
        while True:
            try:
                await self._follow()
            except Unavailable as error:
                self._trouble(str(error))
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)

    async def _follow(self) -> None:
        log = await asyncio.to_thread(KafkaLog, self._kafka)
        try:
            start = await self._start(log)
            self.offsets = dict(enumerate(start.offsets))
            self._trouble(None)
            batches = 0
            async for records in log.follow(start):
                await self._take(records)
                batches += 1
                if batches % NOTE_EVERY == 0:
                    self._write_note()
        except Trimmed as error:
            logger.warning("the copy of the log has a gap: %s", error)
            self._note.unlink(missing_ok=True)
        finally:
            self._write_note()
            await asyncio.to_thread(log.close)

    async def _start(self, log: KafkaLog) -> Cursor:
        if self._note.exists():
            noted = msgspec.json.decode(self._note.read_bytes(), type=Cursor)
            first = await log.first()
            if len(noted.offsets) == len(first.offsets):
                both = zip(noted.offsets, first.offsets, strict=True)
                return Cursor(tuple(max(pair) for pair in both))
        return await log.position_at(time.time_ns() - int(BACK_S * 1e9))

    async def _take(self, records: Sequence[Record]) -> None:
        at_ns = max(record.appended_ns for record in records)
        self._copy.write([record.event for record in records], at_ns)
        await self._copy.sync()
        for record in records:
            self.offsets[record.partition] = record.offset + 1
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set_result(None)

    async def copied(self, partition: int, offset: int) -> None:
        """Return once the record at ``offset`` of ``partition`` is in the copy."""
        while self.offsets.get(partition, 0) <= offset:
            if self._moved is None:
                self._moved = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._moved)

    def _write_note(self) -> None:
        if not self.offsets:
            return
        cursor = Cursor(tuple(self.offsets[part] for part in sorted(self.offsets)))
        fresh = self._note.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(cursor))
        os.replace(fresh, self._note)

    @property
    def end(self) -> int:
        """Offset behind the copy's last record."""
        return self._copy.durable_end

    def close(self) -> None:
        """Note the position, and let go."""
        self._write_note()
        self._copy.close()
