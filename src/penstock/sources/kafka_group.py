"""One member of a consumer group, in a thread of its own: gives batches of records when it is asked.

The thread is in the client only between ``next`` and its answer. So rebalances happen then only, never in the
middle of a batch that somebody works on; and nobody who is slow is handed more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct

from penstock.core.errors import PenstockError, Unavailable
from penstock.outside.kafka import KafkaAccess, in_words, is_serious, opened

WAKE_S = 1.0
"""Longest time until the thread notices that it is to end; the client's own threads wake as often."""
QUEUE_KIB = 16 << 10
"""Most that the client reads ahead."""
ANSWER_S = 30.0
"""Longest wait for a broker's answer about offsets."""
FETCH_WAIT_MS = 5_000
"""How long a broker holds a fetch that finds nothing new; it answers at once when something comes.
So long, at worst, waits a partition that was just given to us."""

logger = logging.getLogger("penstock.sources.kafka")
Begin = Callable[[Sequence[str]], Mapping[str, int | Literal["start", "end"]]]
_PAST = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_REJOINS = frozenset({KafkaError._MAX_POLL_EXCEEDED})


class KafkaRecord(Struct, frozen=True, gc=False):
    """One record as Kafka has it.

    Attributes:
        topic: Its topic.
        partition: From 0.
        offset: Its place in the partition.
        timestamp_ms: POSIX milliseconds: the producer's or the broker's, as the topic is set; -1 if absent.
        key: Its key, if it has one.
        headers: Names and values, in their order.
        value: Its bytes; None is a tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: Sequence[tuple[str, str | bytes | None]]
    value: bytes | None


class Gap(Struct, frozen=True):
    """Records that were gone before they could be read: from ``wanted`` up to ``first``."""

    part: str
    wanted: int
    first: int


class Batch(Struct, frozen=True):
    """What one ``next`` gives.

    Attributes:
        records: In the order of each partition.
        behind: The next offset wanted, by part; also of parts whose beginning was just found.
        gaps: What was gone.
    """

    records: Sequence[KafkaRecord]
    behind: Mapping[str, int]
    gaps: Sequence[Gap] = ()


def part_of(topic: str, partition: int) -> str:
    """Return the name of a partition in positions."""
    return f"{topic}/{partition}"


class GroupReader:
    """A member of a consumer group.

    Args:
        access: The cluster.
        topics: What is read.
        group: Whose partitions are shared.
        batch_records: Most records at once.
        begin: Asked in the event loop's thread where parts given to us begin: an offset, or an end.

    Attributes:
        owned: Parts that are ours now.
    """

    def __init__(
        self, access: KafkaAccess, topics: Sequence[str], group: str, batch_records: int, begin: Begin
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._access, self._topics, self._group = access, list(topics), group
        self._batch_records = batch_records
        self._begin = begin
        self.owned: frozenset[str] = frozenset()
        self._next: dict[str, int] = {}
        self._found: dict[str, int] = {}
        self._trouble: KafkaError | None = None
        self._stop = threading.Event()
        self._asks: queue.SimpleQueue[concurrent.futures.Future[Batch] | None] = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._consumer: Consumer = opened(Consumer, access, self._config())
        threading.Thread(target=self._run, name=f"kafka-{group}", daemon=True).start()

    def _config(self) -> dict[str, Any]:
        return {
            "group.id": self._group,
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "error",  # what is gone is told, not skipped
            "enable.auto.offset.store": False,  # stored when durable; committed now and then, at the end too
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "socket.timeout.ms": FETCH_WAIT_MS + 40_000,
            "queued.max.messages.kbytes": QUEUE_KIB,
            "error_cb": self._on_error,
            "logger": logger,
        }

    async def next(self) -> Batch:
        """Return the next batch as soon as there is one.

        Raises:
            Unavailable: Brokers, topic or permission are missing; this reader has ended, make a new one.
        """
        ask: concurrent.futures.Future[Batch] = concurrent.futures.Future()
        self._asks.put(ask)
        return await asyncio.wrap_future(ask)

    def done(self, positions: Mapping[str, int]) -> None:
        """Let the group know how far we are, for those who watch its lag."""
        offsets = [_place(part, offset) for part, offset in positions.items()]
        try:
            if offsets:
                self._consumer.store_offsets(offsets=offsets)
        except (KafkaException, RuntimeError):
            logger.debug("positions of the group %s were not noted: no longer ours", self._group)

    def stop(self) -> None:
        """Begin to leave the group."""
        self._stop.set()
        self._asks.put(None)

    async def stopped(self) -> None:
        """Leave the group, and return when that is done."""
        self.stop()
        await self._ended.wait()

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
            while (ask := self._asks.get()) is not None:
                self._answer(ask)
        finally:
            self._close()

    def _answer(self, ask: concurrent.futures.Future[Batch]) -> None:
        try:
            batch = self._fetch()
        except KafkaException as error:
            _settle(ask, in_words(error.args[0], self._access, self._what()))
        except PenstockError as error:
            _settle(ask, error)
        else:
            _settle(ask, batch)

    def _what(self) -> str:
        return f"{', '.join(self._topics)} cannot be read"

    def _fetch(self) -> Batch:
        while not self._stop.is_set():
            messages = self._consumer.consume(1, WAKE_S)  # ``poll`` would look for signals all the time
            if messages and self._batch_records > 1:
                messages += self._consumer.consume(self._batch_records - 1, 0)
            if self._trouble is not None:
                trouble, self._trouble = self._trouble, None
                raise in_words(trouble, self._access, self._what())
            batch = self._batch(messages)
            if batch.records or batch.behind or batch.gaps:
                return batch
        return Batch((), {})

    def _batch(self, messages: Sequence[Message]) -> Batch:
        records, gaps = [], []
        behind, self._found = self._found, {}
        for message in messages:
            error = message.error()
            if error is not None:
                gaps += self._failed(message, error)
                continue
            record = _record(message)
            behind[part_of(record.topic, record.partition)] = record.offset + 1
            records.append(record)
        self._next |= behind
        return Batch(records, behind, gaps)

    def _failed(self, message: Message, error: KafkaError) -> list[Gap]:
        """Go on behind a gap; raise what is serious; the client mends the rest."""
        topic, partition = message.topic(), message.partition()
        if error.code() in _PAST and topic is not None and partition is not None:
            part = part_of(topic, partition)
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), ANSWER_S)
            self._consumer.incremental_unassign([TopicPartition(topic, partition)])
            self._consumer.incremental_assign([TopicPartition(topic, partition, low)])
            wanted, self._next[part], self._found[part] = self._next.get(part, 0), low, low
            return [Gap(part, wanted, low)]
        if error.code() in _REJOINS or not is_serious(error):
            logger.info("Kafka, group %s: %s", self._group, error)
            return []
        raise in_words(error, self._access, self._what())

    def _on_error(self, error: KafkaError) -> None:
        if is_serious(error):
            self._trouble = error
        else:
            logger.debug("Kafka, group %s: %s", self._group, error)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        parts = [part_of(each.topic, each.partition) for each in partitions]
        begins = self._ask_loop(parts)
        unknown = [
            each for each, part in zip(partitions, parts, strict=True) if isinstance(begins[part], str)
        ]
        committed = consumer.committed(unknown, ANSWER_S) if unknown else []
        offsets = {part_of(each.topic, each.partition): each.offset for each in committed if each.offset >= 0}
        for each, part in zip(partitions, parts, strict=True):
            begin = begins[part]
            each.offset = begin if isinstance(begin, int) else offsets.get(part, OFFSET_INVALID)
            if each.offset < 0:
                low, high = consumer.get_watermark_offsets(each, ANSWER_S)
                each.offset = self._found[part] = low if begin == "start" else high
            self._next[part] = each.offset
        consumer.incremental_assign(partitions)
        self.owned |= frozenset(parts)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        self.owned -= {part_of(each.topic, each.partition) for each in partitions}

    def _ask_loop(self, parts: Sequence[str]) -> Mapping[str, int | Literal["start", "end"]]:
        async def ask() -> Mapping[str, int | Literal["start", "end"]]:
            return self._begin(parts)

        try:
            return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(ANSWER_S)
        except TimeoutError:
            raise Unavailable(f"{self._what()}: its positions were not told in {ANSWER_S:g} s") from None

    def _close(self) -> None:
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            logger.info("Kafka, group %s: left with %s", self._group, error)
        try:
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            logger.debug("the event loop has ended before the group %s was left", self._group)


def _settle(ask: concurrent.futures.Future[Batch], answer: Batch | PenstockError) -> None:
    """Answer, unless nobody waits any more."""
    if not ask.set_running_or_notify_cancel():
        return
    if isinstance(answer, PenstockError):
        ask.set_exception(answer)
    else:
        ask.set_result(answer)


def _place(part: str, offset: int) -> TopicPartition:
    topic, _, partition = part.rpartition("/")
    return TopicPartition(topic, int(partition), offset)


def _record(message: Message) -> KafkaRecord:
    headers = message.headers()
    assert not isinstance(headers, dict)  # that is for what is produced
    return KafkaRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        headers or (),
        message.value(),
    )
