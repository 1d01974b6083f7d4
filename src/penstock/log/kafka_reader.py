"""Records from the topic: one consumer at one place, moved by whoever holds it. Blocking."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from penstock.core.errors import Invalid, Trimmed
from penstock.core.event import Event, digest, json_data
from penstock.core.ports import Record
from penstock.log.kafka_binding import from_message
from penstock.log.kafka_settings import KafkaLogSettings
from penstock.outside.kafka import in_words, is_serious, opened

ANSWER_S = 15.0
"""Longest wait for one answer of the cluster."""
BATCH_RECORDS = 1000
"""Most records given at once."""
QUEUE_KIB = 16 << 10
"""Most that the client reads ahead."""
FOLLOW_WAIT_MS = 10_000
"""How long a broker holds a follower's fetch that finds nothing new; it answers at once when something comes.
Other questions on the same connection wait behind it."""
READ_WAIT_MS = 50
"""The same for readers of ranges, who ask other questions, and fetch only while they read."""
SETTLE_S = 0.05
"""How often a partition that is just getting a leader is asked again."""
UNREADABLE = "penstock.log.unreadable"
"""Type of the event that stands for a message somebody else wrote, and that is no event."""
SHOWN_BYTES_MAX = 1 << 16

logger = logging.getLogger("penstock.log.kafka")
_SETTLING = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
_PAST = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


class Reader:
    """A consumer of some partitions.

    Args:
        settings: Cluster and topic.
        fetch_wait_ms: How long a broker holds a fetch that finds nothing.
    """

    def __init__(self, settings: KafkaLogSettings, fetch_wait_ms: int = READ_WAIT_MS) -> None:
        self._settings = settings
        self._topic = settings.topic
        self._last_ns: dict[int, int] = {}
        self._trouble: KafkaError | None = None
        self._next: dict[int, int] = {}
        self._consumer: Consumer = opened(
            Consumer,
            settings,
            {
                "group.id": settings.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # what is gone is told, not skipped
                "fetch.wait.max.ms": fetch_wait_ms,
                "socket.timeout.ms": fetch_wait_ms + 40_000,
                "queued.max.messages.kbytes": QUEUE_KIB,
                "fetch.error.backoff.ms": 100,
                "topic.metadata.refresh.interval.ms": -1,
                "error_cb": self._on_error,
                "logger": logger,
            },
        )

    def place(self, offsets: Mapping[int, int]) -> None:
        """Go to these offsets, by partition.

        Raises:
            Trimmed: Retention has removed one of them.
            Unavailable: The broker cannot be asked.
        """
        places = []
        for partition, offset in offsets.items():
            low, high = self.bounds(partition)
            if offset < low:
                raise self._trimmed(partition, offset, low)
            places.append(TopicPartition(self._topic, partition, min(offset, high)))
        self._next = dict(offsets)
        self._consumer.assign(places)

    def _trimmed(self, partition: int, wanted: int, first: int) -> Trimmed:
        place = f"{self._topic}/{partition}"
        return Trimmed(f"{place} no longer holds offset {wanted}; the oldest left is {first}", str(first))

    def rest(self) -> None:
        """Fetch nothing until the next ``place``."""
        self._consumer.unassign()

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the oldest offset left and the one behind the newest record.

        Raises:
            Unavailable: The broker does not answer.
        """
        place, until = TopicPartition(self._topic, partition), time.monotonic() + ANSWER_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(place, ANSWER_S)
                return low, high
            except KafkaException as error:
                if error.args[0].code() not in _SETTLING or time.monotonic() > until:
                    raise self._in_words(error.args[0]) from error
            time.sleep(SETTLE_S)

    def at(self, partition: int, posix_ms: int) -> int:
        """Return the offset of the first record appended at or after a time.

        Raises:
            Unavailable: The broker does not answer.
        """
        wanted = TopicPartition(self._topic, partition, posix_ms)
        try:
            (found,) = self._consumer.offsets_for_times([wanted], ANSWER_S)
        except KafkaException as error:
            raise self._in_words(error.args[0]) from error
        return found.offset if found.offset >= 0 else self.bounds(partition)[1]

    def fetch(self, wait_s: float, most: int = BATCH_RECORDS) -> Sequence[Record]:
        """Return what has come, or nothing after ``wait_s`` seconds.

        Raises:
            Trimmed: Retention was faster than we are.
            Unavailable: We may not read, or the topic is gone. Brokers that are away are waited for.
        """
        messages = self._consumer.consume(1, wait_s)  # ``poll`` would look for signals five times a second
        if messages and most > 1:
            messages += self._consumer.consume(most - 1, 0)
        records = []
        behind, last_ns = self._next, self._last_ns
        for message in messages:
            partition, offset = message.partition() or 0, message.offset() or 0
            if (error := message.error()) is not None:
                self._failed(error, partition)
            elif offset >= behind.get(partition, 0):  # else the follower begins behind the end
                behind[partition] = offset + 1
                now = max(message.timestamp()[1] * 1_000_000, last_ns.get(partition, 0))
                last_ns[partition] = now
                records.append(Record(partition, offset, now, self._event(message, partition, offset)))
        return records

    def _event(self, message: Message, partition: int, offset: int) -> Event:
        key, value, headers = message.key(), message.value(), message.headers()
        try:
            return from_message(key, value, cast("list[tuple[str, bytes | None]]", headers or []))
        except Invalid as error:
            place = f"{self._topic}/{partition}/{offset}"
            shown = (value or b"")[:SHOWN_BYTES_MAX].decode("utf-8", "replace")
            return Event(
                id=digest(b"unreadable", place.encode()),
                source=f"/log/{self._topic}",
                type=UNREADABLE,
                subject=place,
                data=json_data({"reason": f"the record {place} cannot be read: {error}", "value": shown}),
            )

    def _failed(self, error: KafkaError, partition: int) -> None:
        if error.code() in _PAST:
            wanted, (low, high) = self._next.get(partition, 0), self.bounds(partition)
            if wanted < low:
                raise self._trimmed(partition, wanted, low)
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, min(wanted, high))])
        elif is_serious(error):
            raise self._in_words(error)

    def _on_error(self, error: KafkaError) -> None:
        if is_serious(error):
            logger.warning("%s", self._in_words(error))

    def _in_words(self, error: KafkaError) -> Any:
        return in_words(error, self._settings, f"the log's topic {self._topic!r} cannot be read")

    def close(self) -> None:
        """Let go."""
        self._consumer.close()
