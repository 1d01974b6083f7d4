"""Messages to the topic: in order, each once, kept here until the broker has said that it has them.

librdkafka's idempotent producer retries by itself and for ever, so nothing overtakes anything. Should it
fail for good (a fatal error, a refusal), a new one takes its place and is given all that is not
acknowledged, in the same order; what was on disk already then comes twice, and its ids say so.

One thread takes the broker's reports; everything else is called from the event loop's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from penstock.core.errors import PenstockError, Throttled, Timeout, Unavailable
from penstock.log.kafka_binding import Message
from penstock.log.kafka_settings import MESSAGE_BYTES_MAX, KafkaLogSettings
from penstock.outside.kafka import in_words, is_serious, opened

WAKE_S = 1.0
"""Longest time until the reports' thread notices that it is to end; the client's threads wake as often."""
REPLACE_S = (0.0, 0.5, 2.0, 5.0)
"""Waits before one producer takes another's place, until an acknowledgement comes."""
WARM_S = 5.0
"""Longest wait at the start for the topic's whereabouts."""
CLOSE_S = 5.0
"""Longest wait at the end for what is on its way."""

logger = logging.getLogger("penstock.log.kafka")
Place = tuple[int, int]
"""Offset, and when it was appended in POSIX milliseconds."""


class Sending:
    """Messages that were given together, and what became of each.

    Attributes:
        places: Of each message, as far as it is acknowledged.
        abandoned: Nobody waits for it any more: it was told to try again.
    """

    def __init__(self, count: int, number: int) -> None:
        self.places: list[Place | None] = [None] * count
        self.number = number
        self.missing = count
        self.abandoned = False
        self.done: asyncio.Future[None] | None = None


class _Entry:
    __slots__ = ("index", "message", "number", "partition", "sending", "size")

    def __init__(self, number: int, partition: int, message: Message, sending: Sending, index: int) -> None:
        self.number, self.partition, self.message = number, partition, message
        self.sending, self.index = sending, index
        self.size = len(message[1] or b"")


class Appender:
    """An idempotent producer that is replaced when it fails.

    Args:
        settings: Cluster, topic and limits.

    Attributes:
        ends: Offset behind the last acknowledged message, by partition.
        trouble: What is wrong just now, in words; None while all is well.
    """

    def __init__(self, settings: KafkaLogSettings) -> None:
        self._settings = settings
        self.ends: dict[int, int] = {}
        self.trouble: Unavailable | None = None
        self._stalled = False
        self._next = 0
        self._bytes = 0
        self._unacked: dict[int, _Entry] = {}
        self._landed: list[tuple[_Entry, Place]] = []
        self._failed: KafkaError | None = None
        self._replaced = 0
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer = self._open()
        with suppress(KafkaException):  # so that the first event need not wait for it
            self._producer.list_topics(settings.topic, WARM_S)

    def _open(self) -> Producer:
        producer: Producer = opened(
            Producer,
            self._settings,
            {
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,  # if one fails, none behind it passes
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": 0,  # never: a message given up would be overtaken by later ones
                "message.max.bytes": MESSAGE_BYTES_MAX,
                "queue.buffering.max.messages": 0,  # the limit is ours, for whole batches
                "queue.buffering.max.kbytes": 2_000_000,
                "topic.metadata.refresh.interval.ms": -1,
                "topic.metadata.refresh.fast.interval.ms": 100,
                "error_cb": self._on_error,
                "logger": logger,
            },
        )
        return producer

    def send(self, messages: Sequence[tuple[int, Message]]) -> Sending:
        """Put messages (partition and message) on their way, all or none, in order; never waits.

        Raises:
            Unavailable: Too much is on its way, or the broker has not answered for long; nothing was taken.
        """
        self._start()
        self._check_room()
        sending = Sending(len(messages), self._next + len(messages))
        with self._lock:
            for index, (partition, message) in enumerate(messages):
                entry = _Entry(self._next, partition, message, sending, index)
                self._next += 1
                self._bytes += entry.size
                self._unacked[entry.number] = entry
                if self._failed is None:  # else the producer that follows is given it
                    self._produce(entry)
        return sending

    def _check_room(self) -> None:
        if self._stalled and self._unacked:
            raise self.trouble or self._silent()
        if self._bytes > self._settings.unacknowledged_bytes:
            raise Throttled(
                f"{self._bytes} bytes are on their way to Kafka at {self._settings.servers}; "
                f"'unacknowledged_bytes' allows {self._settings.unacknowledged_bytes}",
                0.05,
            )

    def _silent(self) -> Unavailable:
        within = f"{self._settings.append_s:g} s"
        return Timeout(
            f"Kafka at {self._settings.servers} has not confirmed events within {within}. "
            "Nothing is lost: they are held back where they come from, and it goes on by itself",
            2.0,
        )

    def _produce(self, entry: _Entry) -> None:
        key, value, headers = entry.message
        try:
            self._producer.produce(
                self._settings.topic,
                value,
                key,
                entry.partition,
                headers=headers,
                on_delivery=partial(self._reported, self._producer, entry),
            )
        except KafkaException as error:
            self._failed = error.args[0]
        except BufferError:
            self._failed = KafkaError(KafkaError._QUEUE_FULL)

    async def landed(self, sending: Sending) -> Sequence[Place]:
        """Return where the messages are once all are acknowledged.

        Raises:
            Unavailable: The broker has not confirmed them in time; they may be there nevertheless.
        """
        if sending.missing:
            sending.done = asyncio.get_running_loop().create_future()
            try:
                await self._in_time(sending.done)
            except Unavailable:
                sending.abandoned = True
                raise
        return [place for place in sending.places if place is not None]

    async def flushed(self) -> None:
        """Return once all that was sent so far is acknowledged.

        Raises:
            Unavailable: Not within ``append_s``; it stays on its way.
        """
        if self._unacked:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[future] = self._next
            try:
                await self._in_time(future)
            finally:
                self._waiting.pop(future, None)

    async def _in_time(self, future: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(self._settings.append_s):
                await future
        except TimeoutError:
            self._stalled = True
            raise (self.trouble or self._silent()) from None

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._take_reports, name="kafka-reports", daemon=True).start()

    def _take_reports(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(WAKE_S)
            if self._landed:
                landed, self._landed = self._landed, []
                self._call(self._settle, landed)
            if self._failed is not None:
                self._replace()
        _end(self._producer)

    def _call(self, function: Any, *arguments: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self._stop.set()  # the event loop has ended

    def _reported(self, producer: Producer, entry: _Entry, error: KafkaError | None, report: Report) -> None:
        if producer is not self._producer:
            return  # of one that was replaced: its messages were given to the next
        if error is not None:
            self._failed = self._failed or error
            return
        if self._unacked.pop(entry.number, None) is not None:
            self._landed.append((entry, (report.offset() or 0, report.timestamp()[1])))

    def _settle(self, landed: Sequence[tuple[_Entry, Place]]) -> None:
        self._stalled, self.trouble, self._replaced = False, None, 0
        with self._lock:
            self._bytes -= sum(entry.size for entry, _ in landed)
        for entry, place in landed:
            self.ends[entry.partition] = max(self.ends.get(entry.partition, 0), place[0] + 1)
            sending = entry.sending
            sending.places[entry.index] = place
            sending.missing -= 1
            if not sending.missing and sending.done is not None and not sending.done.done():
                sending.done.set_result(None)
        if self._waiting:
            first = next(iter(self._unacked), self._next)
            for future, number in self._waiting.items():
                if number <= first and not future.done():
                    future.set_result(None)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failed = self._failed or error
        elif is_serious(error):
            self._tell(error)

    def _tell(self, error: KafkaError) -> None:
        trouble = in_words(error, self._settings, f"the log's topic {self._settings.topic!r} takes no events")
        if self.trouble is None:
            logger.warning("%s", trouble)
        self.trouble = trouble

    def _replace(self) -> None:
        """Give all that is not acknowledged to a new producer; in the reports' thread."""
        assert self._failed is not None
        self._tell(self._failed)
        self._stop.wait(REPLACE_S[min(self._replaced, len(REPLACE_S) - 1)])
        self._replaced += 1
        try:
            fresh = self._open()
        except PenstockError as error:
            logger.warning("no new producer: %s", error)
            return
        with self._lock:
            old, self._producer, self._failed = self._producer, fresh, None
            self._drop_abandoned()
            for entry in list(self._unacked.values()):
                self._produce(entry)
        _end(old)

    def _drop_abandoned(self) -> None:
        for number, entry in list(self._unacked.items()):
            if entry.sending.abandoned:
                del self._unacked[number]
                self._bytes -= entry.size

    def close(self) -> None:
        """Wait a little for what is on its way, and end."""
        self._stop.set()
        if self._unacked:
            self._producer.flush(CLOSE_S)
        if self._loop is None:  # else the reports' thread does it, which may be in the client now
            _end(self._producer)


def _end(producer: Producer) -> None:
    """End a client now: it goes on to look for brokers until it is collected, which may be never."""
    try:
        producer.purge()
        producer.close()
    except (KafkaException, RuntimeError) as error:
        logger.info("a producer that has failed ends by itself: %s", error)
