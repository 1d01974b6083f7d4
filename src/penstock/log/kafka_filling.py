"""Fills a topic with the records of another log, each at the time when it was appended there. Blocking.

While that lasts, the topic takes its times from the producer (``CreateTime``). No log opens such a topic, so
nobody works with half of a history; and whoever fills it again goes on where the last one ended, for each
partition holds a beginning of what it is to hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from penstock.core.errors import Broken, Refused, Unavailable
from penstock.core.event import Event
from penstock.log.kafka_binding import partition_of, to_message
from penstock.log.kafka_reader import Reader
from penstock.log.kafka_settings import MESSAGE_BYTES_MAX, KafkaLogSettings
from penstock.log.kafka_topic import ANSWER_S, config_of, ensure_topic, replicas_of
from penstock.outside.kafka import in_words, opened

STAMPS = "message.timestamp.type"
FILLING = {STAMPS: "CreateTime"}
FLUSH_S = 120.0
"""Longest time without any acknowledgement."""
LINGER_MS = 50
T = TypeVar("T")
Placed = tuple[int, int, Event]
"""Partition, when it was appended in POSIX nanoseconds, event."""


class Filling:
    """The topic to be filled.

    Args:
        settings: Cluster and topic.

    Raises:
        Unavailable: The cluster cannot be reached.
    """

    def __init__(self, settings: KafkaLogSettings) -> None:
        self._settings = settings
        self._admin: AdminClient = opened(AdminClient, settings, {})
        self._failed: KafkaError | None = None

    def place_of(self, event: Event) -> int:
        """Return the partition of an event that is told from outside."""
        return partition_of(event.partitionkey or event.id, self._settings.partitions)

    def there(self) -> tuple[int, ...] | None:
        """Return how many records each partition holds; None if there is no topic.

        Raises:
            Refused: There is one of another number of partitions.
            Unavailable: It cannot be asked.
        """
        count = len(self._asked(lambda: replicas_of(self._admin, self._settings.topic)))
        if count == 0:
            return None
        if count != self._settings.partitions:
            raise Refused(
                f"the topic {self._settings.topic!r} has {count} partitions, 'partitions' says "
                f"{self._settings.partitions}: change the setting, or name a new topic"
            )
        reader = Reader(self._settings)
        try:
            return tuple(reader.bounds(partition)[1] for partition in range(count))
        finally:
            reader.close()

    def is_filling(self) -> bool:
        """Whether somebody began to fill it and did not end."""
        found = self._asked(lambda: config_of(self._admin, self._settings.topic))
        return bool(found.get(STAMPS) == FILLING[STAMPS])

    def allowed(self) -> set[str]:
        """Return what we may do with the topic, in Kafka's words; all where there are no access lists."""
        topics = TopicCollection([self._settings.topic])

        def ask() -> set[str]:
            asked = self._admin.describe_topics(topics, include_authorized_operations=True)
            found = asked[self._settings.topic].result(ANSWER_S)
            return {operation.name for operation in found.authorized_operations or ()}

        return self._asked(ask)

    def last_id(self, partition: int, end: int) -> str | None:
        """Return the id of the newest record of a partition; None if retention has removed it."""
        reader = Reader(self._settings)
        try:
            if reader.bounds(partition)[0] >= end:
                return None
            reader.place({partition: end - 1})
            found = reader.fetch(ANSWER_S, 1)
            return found[0].event.id if found else None
        finally:
            reader.close()

    def begin(self) -> None:
        """Make the topic if it is absent, and let it take its times from us.

        Raises:
            Invalid: It is there and not what the settings say.
            Unavailable: It may not be made or changed.
        """
        if self.there() is not None and not self.is_filling():
            self._set(FILLING[STAMPS])
        ensure_topic(self._settings, FILLING)

    def fill(self, records: Iterable[Placed]) -> None:
        """Append records; return when all are kept.

        Raises:
            Unavailable: The broker did not take them; what it has is a beginning of each partition.
        """
        producer: Producer = opened(
            Producer,
            self._settings,
            {
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "message.timeout.ms": int(FLUSH_S * 1000),
                "message.max.bytes": MESSAGE_BYTES_MAX,
            },
        )
        for partition, appended_ns, event in records:
            self._produce(producer, partition, appended_ns, event)
        self._flush(producer)

    def _produce(self, producer: Producer, partition: int, appended_ns: int, event: Event) -> None:
        key, value, headers = to_message(event)
        while True:
            self._check()
            try:
                producer.produce(
                    self._settings.topic,
                    value,
                    key,
                    partition,
                    on_delivery=self._delivered,
                    timestamp=max(appended_ns // 1_000_000, 1),
                    headers=headers,
                )
            except BufferError:  # as much is on its way as may be
                producer.poll(1.0)
            else:
                producer.poll(0)
                return

    def _flush(self, producer: Producer) -> None:
        left, until = len(producer), time.monotonic() + FLUSH_S
        while left and time.monotonic() < until:
            if (now := producer.flush(1.0)) < left:
                left, until = now, time.monotonic() + FLUSH_S
            self._check()
        if left:
            raise Unavailable(f"{self._settings.servers} has not taken {left} records for {FLUSH_S:g} s")

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failed = self._failed or error

    def _check(self) -> None:
        if self._failed is not None:
            raise in_words(
                self._failed, self._settings, f"the topic {self._settings.topic!r} takes no events"
            )

    def end(self, expected: Sequence[int]) -> None:
        """Count, and let the broker give the times from now on.

        Raises:
            Broken: Not as many arrived as were sent.
        """
        found = self.there()
        if found != tuple(expected):
            raise Broken(f"the topic {self._settings.topic!r} holds {found} records, not {tuple(expected)}")
        self._set(self._settings.topic_config()[STAMPS])
        ensure_topic(self._settings)

    def _set(self, stamps: str) -> None:
        entry = ConfigEntry(STAMPS, stamps, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self._settings.topic, incremental_configs=[entry])

        def alter() -> None:
            self._admin.incremental_alter_configs([resource], request_timeout=ANSWER_S)[resource].result(
                ANSWER_S
            )
            until = time.monotonic() + ANSWER_S
            while config_of(self._admin, self._settings.topic).get(STAMPS) != stamps:
                if time.monotonic() > until:
                    raise Unavailable(f"the topic {self._settings.topic!r} does not change its {STAMPS}")
                time.sleep(0.02)

        self._asked(alter)

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except KafkaException as error:
            words = f"the topic {self._settings.topic!r} cannot be looked at or changed"
            raise in_words(error.args[0], self._settings, words) from error
