"""The log in a real Kafka: the suite of all logs, places by key, time, retention, a topic that fits."""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.servers.kafka import Kafka

from penstock.core.errors import Invalid, Trimmed, Unavailable
from penstock.core.event import EVENT_BYTES_MAX, Event, json_data
from penstock.core.ports import Cursor
from penstock.log.kafka import KafkaLog, KafkaLogSettings
from penstock.log.kafka_binding import partition_of
from penstock.log.kafka_reader import UNREADABLE
from penstock.testing.log_suite import LogSuite, first, ids, numbered

pytestmark = pytest.mark.slow
_numbers = count()


def fresh(kafka: Kafka, partitions: int = 1, **more: object) -> KafkaLogSettings:
    """Return settings for a topic that is not there yet."""
    given = {"servers": kafka.address, "topic": f"log-{next(_numbers)}", "partitions": partitions}
    return KafkaLogSettings(**{**given, "replication": 1, **more})  # type: ignore[arg-type]


class TestKafkaLog(LogSuite):
    @pytest.fixture(autouse=True)
    def _topic(self, kafka: Kafka) -> None:
        self.settings = fresh(kafka)

    def open(self) -> KafkaLog:
        return KafkaLog(self.settings, 0)

    def close(self, log: KafkaLog) -> None:
        log.close()


class TestKafkaLogAsAWhole(TestKafkaLog):
    """The same through the view of all partitions."""

    def open(self) -> KafkaLog:
        return KafkaLog(self.settings)


@pytest.mark.anyio
async def test_events_of_one_key_lie_in_the_partition_that_other_producers_choose(kafka: Kafka) -> None:
    settings = fresh(kafka, 5)
    log = KafkaLog(settings)
    keys = [f"/raw/run{n}" for n in range(40)]
    events = [Event(id=key, source="/s", type="t", partitionkey=key) for key in keys]
    records = await log.append(events)
    places = {record.event.id: record.partition for record in records}
    assert len(set(places.values())) == 5
    producer = Producer({"bootstrap.servers": kafka.address, "partitioner": "murmur2_random"})
    theirs: dict[str, int | None] = {}
    for key in keys:
        noted = partial(lambda key, _, message: theirs.update({key: message.partition()}), key)
        producer.produce(settings.topic, b"{}", key, on_delivery=noted)
    producer.flush(20)
    assert theirs == places == {key: partition_of(key, 5) for key in keys}
    log.close()


@pytest.mark.anyio
async def test_a_shard_sees_its_partition_alone(kafka: Kafka) -> None:
    settings = fresh(kafka, 3)
    whole, shard = KafkaLog(settings), KafkaLog(settings, 1)
    await whole.append(numbered(0, 60))
    mine = [str(n) for n in range(60) if partition_of(str(n), 3) == 1]
    assert ids(await first(shard, len(mine))) == mine
    (own,) = await shard.append(numbered(100, 1))
    assert (own.partition, own.offset) == (1, len(mine))
    assert shard.read(0, 1000)[-1] == own
    assert shard.record(len(mine)) == own
    assert shard.durable_end == len(mine) + 1
    whole.close()
    shard.close()


@pytest.mark.anyio
async def test_reading_a_range_gives_that_range(kafka: Kafka) -> None:
    log = KafkaLog(fresh(kafka), 0)
    await log.append(numbered(0, 2500))
    assert ids(log.read(0, 700)) == [str(n) for n in range(700)]
    assert ids(log.read(700, 1400)) == [str(n) for n in range(700, 1400)]
    assert ids(log.read(5, 6)) == ["5"]
    assert ids(log.read(2400, 9999)) == [str(n) for n in range(2400, 2500)]
    assert log.read(2500, 2600) == []
    assert [log.record(n).event.id for n in (7, 8, 2499)] == ["7", "8", "2499"]
    log.close()


@pytest.mark.anyio
async def test_a_time_gives_the_position_of_what_was_appended_from_then_on(kafka: Kafka) -> None:
    log = KafkaLog(fresh(kafka), 0)
    (before,) = await log.append(numbered(0, 1))
    after = before
    while after.appended_ns == before.appended_ns:
        (after,) = await log.append(numbered(1, 1))
    assert await log.position_at(0) == Cursor((0,))
    assert await log.position_at(before.appended_ns + 1) == Cursor((after.offset,))
    assert await log.position_at(after.appended_ns) == Cursor((after.offset,))
    assert await log.position_at((1 << 63) - 1) == Cursor((after.offset + 1,)) == await log.newest()
    log.close()


@pytest.mark.anyio
async def test_what_retention_removed_is_named_with_the_oldest_left(kafka: Kafka) -> None:
    settings = fresh(kafka)
    log = KafkaLog(settings, 0)
    await log.append(numbered(0, 10))
    gone = TopicPartition(settings.topic, 0, 4)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.delete_records([gone])[gone].result(20)
    with pytest.raises(Trimmed, match=r"offset 2.*oldest left is 4") as told:
        await first(log, 1, 2)
    assert told.value.first == "4"
    with pytest.raises(Trimmed):
        log.read(0, 5)
    assert ids(await first(log, 6, 4)) == [str(n) for n in range(4, 10)]
    assert await log.first() == Cursor((4,))
    assert log.retain(None) == 4
    log.close()


@pytest.mark.anyio
async def test_a_message_that_is_no_event_keeps_its_place_and_says_why(kafka: Kafka) -> None:
    settings = fresh(kafka)
    log = KafkaLog(settings, 0)
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(settings.topic, b"hello", partition=0)
    producer.flush(20)
    await log.append(numbered(1, 1))
    odd, good = await first(log, 2)
    assert odd.event.type == UNREADABLE
    assert b"ce_specversion" in bytes(odd.event.data)  # type: ignore[arg-type]
    assert b"hello" in bytes(odd.event.data)  # type: ignore[arg-type]
    assert good.event.id == "1"
    log.close()


@pytest.mark.anyio
async def test_an_event_that_is_too_large_is_refused_and_nothing_of_its_batch_is_kept(kafka: Kafka) -> None:
    log = KafkaLog(fresh(kafka), 0)
    large = Event(id="large", source="/s", type="t", data=json_data("x" * EVENT_BYTES_MAX))
    with pytest.raises(Invalid, match="'large'"):
        await log.append([*numbered(0, 1), large])
    most = Event(id="most", source="/s", type="t", data=json_data("x" * (EVENT_BYTES_MAX - 2)))
    await log.append([most])
    assert ids(await first(log, 1)) == ["most"]
    log.close()


def test_a_topic_that_does_not_fit_is_refused_with_every_fault(kafka: Kafka) -> None:
    settings = fresh(kafka, 2)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(settings.topic, 3, 1)])[settings.topic].result(20)
    with pytest.raises(Invalid) as told:
        KafkaLog(settings)
    said = str(told.value)
    assert "3 partitions" in said
    assert "message.timestamp.type is CreateTime" in said
    assert f"--add-config retention.ms={90 * 86400 * 1000}" in said


def test_an_absent_topic_that_may_not_be_made_is_said(kafka: Kafka) -> None:
    with pytest.raises(Unavailable, match="no such topic"):
        KafkaLog(fresh(kafka, create=False))


def test_brokers_that_are_away_are_said_with_their_address() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        KafkaLog(KafkaLogSettings(servers="127.0.0.1:1"))


def test_only_partitions_that_there_are_can_be_opened(kafka: Kafka) -> None:
    with pytest.raises(Invalid, match="partition 2"):
        KafkaLog(fresh(kafka, 2), 2)


@pytest.mark.anyio
async def test_others_read_what_was_written_as_cloudevents(kafka: Kafka) -> None:
    settings = fresh(kafka)
    log = KafkaLog(settings, 0)
    await log.append([Event(id="1", source="/s", type="t", partitionkey="/a", data=json_data({"b": 1}))])
    reader = Consumer({"bootstrap.servers": kafka.address, "group.id": "other"})
    reader.assign([TopicPartition(settings.topic, 0, 0)])
    message = reader.poll(20)
    assert message is not None
    headers = dict(message.headers() or [])
    assert headers == {"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"/s", "ce_type": b"t"}
    assert (message.key(), message.value()) == (b"/a", b'{"b":1}')
    reader.close()
    log.close()
