"""The log in Kafka: a topic, or one partition of it (see ``core.ports.Log`` and ``ShardLog``).

An event is durable when all replicas in sync have it (``acks=all``). Events of one key lie in one
partition, as Java's producers would place them. Idle, the clients' threads wake up some ten times a second
without a request; a follower has one fetch with the broker, which holds it for 10 s.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from penstock.core.errors import Invalid, Unavailable
from penstock.core.event import EVENT_BYTES_MAX, Event
from penstock.core.ports import Cursor, Record
from penstock.log.kafka_appender import Appender
from penstock.log.kafka_binding import Message, partition_of, to_message
from penstock.log.kafka_reader import BATCH_RECORDS, FOLLOW_WAIT_MS, Reader
from penstock.log.kafka_settings import KafkaLogSettings
from penstock.log.kafka_topic import ensure_topic

__all__ = ["KafkaLog", "KafkaLogSettings"]

WAKE_S = 1.0
"""Longest time until a follower's thread notices that nobody follows any more."""
READ_WAIT_S = 15.0
"""Longest wait for records that are there."""
AHEAD_RECORDS = 256
"""Old records read at once when one of them is wanted."""


class KafkaLog:
    """The log of a site. The constructor blocks until the broker has answered; it may be called in a thread.

    Args:
        settings: Cluster and topic.
        partition: The only one that is appended to, read and followed; None: all of them, placed by key.
        prepare: Makes or checks the topic.

    Raises:
        Invalid: The topic is there and is not what the settings say.
        Unavailable: The cluster cannot be reached, or does not allow it.
    """

    def __init__(
        self,
        settings: KafkaLogSettings,
        partition: int | None = None,
        prepare: Callable[[KafkaLogSettings], None] = ensure_topic,
    ) -> None:
        if partition is not None and not 0 <= partition < settings.partitions:
            raise Invalid(f"partition {partition} is none of the {settings.partitions} of {settings.topic!r}")
        self.settings = settings
        self.partition = partition
        self._parts = tuple(range(settings.partitions)) if partition is None else (partition,)
        prepare(settings)
        self._reader = Reader(settings)
        try:
            self._ends = {part: self._reader.bounds(part)[1] for part in self._parts}
        except BaseException:
            self._reader.close()
            raise
        self._appender = Appender(settings)
        self._ahead: dict[int, Record] = {}
        self._reading = threading.Lock()

    @property
    def place(self) -> str:
        """Where it is, in words."""
        part = "" if self.partition is None else f"/{self.partition}"
        return f"the topic {self.settings.topic}{part} of Kafka at {self.settings.servers}"

    @property
    def trouble(self) -> str | None:
        """What is wrong just now, in words; None while all is well."""
        return None if self._appender.trouble is None else str(self._appender.trouble)

    async def append(self, events: Sequence[Event], *, durable: bool = True) -> Sequence[Record]:  # noqa: ARG002
        """Append ``events``; durable or not, it returns when they are kept. See ``core.ports.Log.append``.

        Raises:
            Unavailable: They are not confirmed within ``append_s``; they may be there nevertheless: append
                them again, their ids tell.
        """
        if not events:
            return []
        return await self.append_to([(self.part_of(event), event) for event in events])

    async def append_to(self, events: Sequence[tuple[int, Event]]) -> Sequence[Record]:
        """Append each event to the partition that is named with it; see ``append``."""
        placed = [(part, _message(event)) for part, event in events]
        landed = await self._appender.landed(self._appender.send(placed))
        return [
            Record(part, offset, posix_ms * 1_000_000, event)
            for (part, event), (offset, posix_ms) in zip(events, landed, strict=True)
        ]

    def write(self, events: Sequence[Event]) -> Sequence[Record]:
        """Put ``events`` on their way; the broker numbers them. See ``core.ports.Log.write``."""
        if events:
            self._appender.send([(self.part_of(event), _message(event)) for event in events])
        return ()

    def part_of(self, event: Event) -> int:
        """Return the partition that an event is appended to."""
        if self.partition is not None:
            return self.partition
        return partition_of(event.partitionkey or event.id, self.settings.partitions)

    async def sync(self) -> None:
        """Return once everything sent so far is kept. See ``core.ports.Log.sync``."""
        await self._appender.flushed()

    async def follow(self, start: Cursor) -> AsyncIterator[Sequence[Record]]:
        """Yield batches from ``start`` on, each partition in order. See ``core.ports.Log.follow``.

        Each follower is a consumer of its own, with its threads; share one among many readers.

        Raises:
            Trimmed: Retention has removed ``start``, or was faster than the follower.
            Unavailable: The topic may not be read. Brokers that are away are waited for.
        """
        offsets = dict(zip(self._parts, start.offsets or (0,) * len(self._parts), strict=True))
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "kafka-follow")
        reader, left = Reader(self.settings, FOLLOW_WAIT_MS), threading.Event()

        def wait() -> Sequence[Record]:
            records: Sequence[Record] = ()
            while not records and not left.is_set():
                records = reader.fetch(WAKE_S)
            return records

        try:
            await loop.run_in_executor(thread, reader.place, offsets)
            while True:
                records = await loop.run_in_executor(thread, wait)
                self._see(records)
                yield records
        finally:
            left.set()
            thread.submit(reader.close)  # behind the fetch that may be under way
            thread.shutdown(wait=False)

    def _see(self, records: Sequence[Record]) -> None:
        for part, behind in {record.partition: record.offset + 1 for record in records}.items():
            self._ends[part] = max(self._ends[part], behind)

    def end(self) -> Cursor:
        """Return the position behind the last record that we appended, followed or found at the start."""
        ours = self._appender.ends
        return Cursor(tuple(max(self._ends[part], ours.get(part, 0)) for part in self._parts))

    @property
    def durable_end(self) -> int:
        """The end of a single partition: what has an offset is kept."""
        return self.end().offsets[0]

    def size(self) -> int:
        """Return 0: the space is the broker's."""
        return 0

    def read(self, start: int, end: int) -> Sequence[Record]:
        """Return the records of the one partition from ``start`` up to, not including, ``end``. Blocks.

        Raises:
            Trimmed: Retention has removed ``start``.
            Unavailable: The broker does not answer.
        """
        part = self._only()
        high = self._reader.bounds(part)[1]
        self._ends[part] = max(self._ends[part], high)
        self._reader.place({part: start})
        try:
            found = self._read_to(start, min(end, high))
        finally:
            self._reader.rest()
        return [record for record in found if record.offset < end]

    def _read_to(self, start: int, behind: int) -> list[Record]:
        found: list[Record] = []
        while (found[-1].offset + 1 if found else start) < behind:
            records = self._reader.fetch(READ_WAIT_S, min(behind - start, BATCH_RECORDS))
            if not records:
                break  # the rest are no records: marks of somebody's transactions
            found += records
        return found

    def _only(self) -> int:
        if len(self._parts) != 1:
            raise Invalid(f"{self.place} has {len(self._parts)} partitions; open the one that is meant")
        return self._parts[0]

    def record_in(self, partition: int, offset: int) -> Record:
        """Return one record of a partition. Blocks; not for the thread that reads ranges.

        Raises:
            Trimmed: Retention has removed it.
            Unavailable: The broker does not answer.
        """
        with self._reading:
            self._reader.place({partition: offset})
            found = self._reader.fetch(READ_WAIT_S, 1)
        if not found or found[0].offset != offset:
            raise Unavailable(f"{self.place}, partition {partition}: there is no record {offset}")
        return found[0]

    def record(self, offset: int) -> Record:
        """Return one record of the one partition; cheap for those read in rising order. Blocks.

        Raises:
            Trimmed: Retention has removed it.
            Unavailable: The broker does not answer.
        """
        if offset not in self._ahead:
            self._ahead = {each.offset: each for each in self.read(offset, offset + AHEAD_RECORDS)}
        return self._ahead[offset]

    async def first(self) -> Cursor:
        """Return the oldest position left."""
        return Cursor(await self._each(lambda part: self._reader.bounds(part)[0]))

    async def newest(self) -> Cursor:
        """Return the position behind the last record of all producers, asked of the broker now."""
        ends = await self._each(lambda part: self._reader.bounds(part)[1])
        self._ends = dict(zip(self._parts, ends, strict=True))
        return self.end()

    async def position_at(self, posix_ns: int) -> Cursor:
        """Return the position of the first records appended at or after a time; the broker's milliseconds."""
        posix_ms = min(-(-posix_ns // 1_000_000), (1 << 62) // 1_000_000)
        return Cursor(await self._each(lambda part: self._reader.at(part, posix_ms)))

    async def _each(self, ask: Callable[[int], int]) -> tuple[int, ...]:
        return await asyncio.to_thread(lambda: tuple(ask(part) for part in self._parts))

    def retain(self, pinned: int | None) -> int:  # noqa: ARG002 - retention is the broker's
        """Return the oldest offset left of the one partition. Retention is the broker's. Blocks."""
        return self._reader.bounds(self._only())[0]

    def close(self) -> None:
        """Wait a little for what is on its way, and let go."""
        self._appender.close()
        self._reader.close()


def _message(event: Event) -> Message:
    message = to_message(event)
    if (size := len(message[1] or b"")) > EVENT_BYTES_MAX:
        raise Invalid(
            f"event {event.id!r} has {size} bytes; at most {EVENT_BYTES_MAX} are kept. "
            "Put large data into a file and name it"
        )
    return message
