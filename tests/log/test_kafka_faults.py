"""Bad days of the log in Kafka: what was acknowledged is kept, and it recovers without hands."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from tests.servers.kafka_far import FarKafka

from penstock.core.errors import Throttled, Unavailable
from penstock.log.kafka import KafkaLog, KafkaLogSettings
from penstock.testing.log_suite import first, ids, numbered

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


def settings(far: FarKafka, **more: object) -> KafkaLogSettings:
    """Return settings for a fresh topic, reached through the proxy."""
    given = {"servers": far.address, "topic": far.topic(), "partitions": 1}
    given |= {"replication": 1, "append_s": 2.0, "properties": {"reconnect.backoff.max.ms": 500}}
    return KafkaLogSettings(**{**given, **more})  # type: ignore[arg-type]


async def until_appended(log: KafkaLog, number: int) -> None:
    """Append as a source does: again and again until it is taken."""
    while True:
        try:
            await log.append(numbered(number, 1))
            return
        except Unavailable as error:
            await asyncio.sleep(min(error.retry_after_s, 0.2))


def write_each(log: KafkaLog, behind: int) -> None:
    for number in range(behind):
        log.write(numbered(number, 1, 1000))


async def append_for_ever(log: KafkaLog) -> None:
    while True:
        await log.append(numbered(1, 1))


async def test_what_was_acknowledged_outlives_a_broker_that_is_killed_under_load(far_kafka: FarKafka) -> None:
    log = KafkaLog(settings(far_kafka), 0)
    acknowledged: list[int] = []
    enough = asyncio.Event()

    async def produce() -> None:
        for number in range(1_000_000):
            if enough.is_set():
                return
            await until_appended(log, number)
            acknowledged.append(number)

    producing = [asyncio.create_task(produce())]
    following = asyncio.create_task(first(log, 1200))
    await first(log, 600)
    far_kafka.broker.kill()
    killed_at = len(acknowledged)
    await asyncio.to_thread(far_kafka.broker.start)
    await following
    enough.set()
    await asyncio.gather(*producing)
    assert acknowledged[-1] > killed_at, "nothing went on behind the restart"
    records = log.read(0, log.end().offsets[0])
    kept = list(dict.fromkeys(ids(records)))  # an append that was tried again may be there twice
    assert kept[: len(acknowledged)] == [str(number) for number in acknowledged]
    log.close()


async def test_a_broker_that_is_away_is_said_in_words_and_it_goes_on_by_itself(far_kafka: FarKafka) -> None:
    log = KafkaLog(settings(far_kafka, append_s=0.5), 0)
    await until_appended(log, 0)
    far_kafka.proxy.refuse()
    with pytest.raises(Unavailable, match=far_kafka.proxy.address):
        await log.append(numbered(1, 1))
    with pytest.raises(Unavailable):
        log.write(numbered(1, 1))  # at once: what waits must not pile up
    assert log.trouble is not None
    far_kafka.proxy.resume()
    await until_appended(log, 2)
    assert log.trouble is None
    found = list(dict.fromkeys(ids(log.read(0, log.end().offsets[0]))))
    assert found in (["0", "1", "2"], ["0", "2"])  # 1 was on its way when its sender was told to try again
    log.close()


async def test_a_follower_sleeps_through_an_outage(far_kafka: FarKafka) -> None:
    log, other = KafkaLog(settings(far_kafka), 0), None
    await log.append(numbered(0, 3))
    following = asyncio.create_task(first(log, 6))
    await first(log, 3)
    far_kafka.proxy.cut()
    far_kafka.proxy.refuse()
    other = KafkaLog(settings(far_kafka, servers=far_kafka.broker.address, topic=log.settings.topic), 0)
    await other.append(numbered(3, 3))
    far_kafka.proxy.resume()
    assert ids(await following) == [str(number) for number in range(6)]
    log.close()
    other.close()


async def test_what_was_written_before_a_stall_comes_behind_it_in_order(far_kafka: FarKafka) -> None:
    log = KafkaLog(settings(far_kafka, append_s=0.5), 0)
    await until_appended(log, 0)
    far_kafka.proxy.stall()
    for number in range(1, 50):
        log.write(numbered(number, 1))
    with pytest.raises(Unavailable):
        await log.sync()
    far_kafka.proxy.resume()
    assert list(dict.fromkeys(ids(await first(log, 50)))) == [str(number) for number in range(50)]
    while True:
        try:
            await log.sync()
            break
        except Unavailable:
            continue
    assert log.end().offsets[0] >= 50
    log.close()


async def test_a_flood_is_held_back_by_a_named_limit(far_kafka: FarKafka) -> None:
    log = KafkaLog(settings(far_kafka, unacknowledged_bytes=10_000), 0)
    far_kafka.proxy.stall()
    with pytest.raises(Throttled, match="unacknowledged_bytes"):
        write_each(log, 100)
    far_kafka.proxy.resume()
    await log.sync()
    assert ids(await first(log, 10))[:10] == [str(number) for number in range(10)]
    log.close()


async def test_a_producer_that_failed_for_good_is_replaced_and_loses_nothing(far_kafka: FarKafka) -> None:
    log = KafkaLog(settings(far_kafka), 0)
    await log.append(numbered(0, 10))
    far_kafka.proxy.stall()
    log.write(numbered(10, 10))
    log._appender._failed = KafkaError(KafkaError._FATAL)
    far_kafka.proxy.resume()
    log.write(numbered(20, 10))
    await log.sync()
    assert list(dict.fromkeys(ids(await first(log, 30)))) == [str(number) for number in range(30)]
    log.close()


async def test_a_topic_that_was_removed_is_said_until_it_is_there_again(far_kafka: FarKafka) -> None:
    chosen = settings(far_kafka, append_s=1.0, properties={"topic.metadata.propagation.max.ms": 100})
    log = KafkaLog(chosen, 0)
    await until_appended(log, 0)
    admin = AdminClient({"bootstrap.servers": far_kafka.broker.address})
    admin.delete_topics([chosen.topic])[chosen.topic].result(20)
    with pytest.raises(Unavailable):
        await append_for_ever(log)
    again = await asyncio.to_thread(KafkaLog, chosen, 0)
    await asyncio.wait_for(until_appended(log, 2), 40)
    assert "2" in ids(again.read(0, 100))
    log.close()
    again.close()
