"""Bad days of a source on Kafka: everything comes, in order, at least once; it goes on without hands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.servers.kafka import Kafka
from tests.servers.kafka_far import FarKafka

from penstock.core.errors import Unavailable
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings
from penstock.testing.ledger import MemoryLedger

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


def normalise(record: KafkaRecord) -> Sequence[Event]:
    number = str(json.loads(record.value or b"null"))
    return [Event(id=number, source="/storages/s", type="test.number", subject=number)]


class Engine:
    """Takes events as the engine does: asks again after ``Unavailable``; may be held in a batch."""

    def __init__(self, address: str, topic: str, ledger: MemoryLedger) -> None:
        settings = KafkaSourceSettings(
            servers=address,
            topics=(topic,),
            group=topic,
            begin="start",
            batch_records=50,
            properties={"reconnect.backoff.max.ms": 500},
        )
        context = SourceContext(name="numbers", ledger=ledger, dead_letter=lambda _: None)
        self.source = KafkaSource(settings, context, normalise)
        self.got: list[int] = []
        self.troubles: list[str] = []
        self.going = asyncio.Event()
        self.going.set()
        self.came = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            stream = self.source.events()
            try:
                async for events in stream:
                    self.got += [int(event.id) for event in events]
                    self.came.set()
                    await self.going.wait()
            except Unavailable as error:
                self.troubles.append(str(error))
                await asyncio.sleep(min(error.retry_after_s, 0.2))
            finally:
                await stream.aclose()  # type: ignore[attr-defined]

    async def until(self, number: int) -> None:
        async with asyncio.timeout(45):
            while number not in self.got:
                self.came.clear()
                await self.came.wait()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.source.close()


def fill(address: str, topic: str, numbers: range, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": address})
    for number in numbers:
        producer.produce(topic, json.dumps(number).encode(), partition=partition)
    assert producer.flush(20) == 0


def make(address: str, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)


def firsts(numbers: Sequence[int]) -> list[int]:
    """Return the numbers without those that came before: that is what ids are for."""
    return list(dict.fromkeys(numbers))


async def test_a_stall_and_a_cut_lose_nothing(far_kafka: FarKafka) -> None:
    topic = far_kafka.topic()
    make(far_kafka.broker.address, topic)
    engine = Engine(far_kafka.address, topic, MemoryLedger())
    fill(far_kafka.broker.address, topic, range(100))
    await engine.until(99)
    far_kafka.proxy.stall()
    fill(far_kafka.broker.address, topic, range(100, 200))
    far_kafka.proxy.resume()
    await engine.until(199)
    far_kafka.proxy.cut()
    fill(far_kafka.broker.address, topic, range(200, 300))
    await engine.until(299)
    assert firsts(engine.got) == list(range(300))
    await engine.end()


async def test_a_killed_broker_is_said_and_reading_goes_on(far_kafka: FarKafka) -> None:
    topic = far_kafka.topic()
    make(far_kafka.broker.address, topic)
    engine = Engine(far_kafka.address, topic, MemoryLedger())
    fill(far_kafka.broker.address, topic, range(100))
    await engine.until(99)
    far_kafka.broker.kill()
    async with asyncio.timeout(30):
        while not engine.troubles:
            await asyncio.sleep(0.05)
    assert far_kafka.address in engine.troubles[0]
    await asyncio.to_thread(far_kafka.broker.start)
    fill(far_kafka.broker.address, topic, range(100, 200))
    await engine.until(199)
    assert firsts(engine.got) == list(range(200))
    await engine.end()


async def test_nothing_is_fetched_while_a_batch_is_worked_on(kafka: Kafka) -> None:
    topic = "held-back"
    make(kafka.address, topic)
    fill(kafka.address, topic, range(200))
    ledger = MemoryLedger()
    engine = Engine(kafka.address, topic, ledger)
    engine.going.clear()
    await engine.until(0)
    held = len(engine.got)
    assert held <= 50
    assert not ledger.positions("numbers"), "a position was kept before its events were durable"
    engine.going.set()
    await engine.until(199)
    assert firsts(engine.got) == list(range(200))
    await engine.end()


async def test_a_rebalance_waits_for_the_batch_in_hand(kafka: Kafka) -> None:
    topic = "rebalanced"
    make(kafka.address, topic, 2)
    ledger = MemoryLedger()
    fill(kafka.address, topic, range(100), 0)
    fill(kafka.address, topic, range(1000, 1100), 1)
    one = Engine(kafka.address, topic, ledger)
    await one.until(99)
    one.going.clear()
    fill(kafka.address, topic, range(100, 200), 0)
    fill(kafka.address, topic, range(1100, 1200), 1)
    two = Engine(kafka.address, topic, ledger)
    begun = asyncio.create_task(two.source.ready())
    await asyncio.wait({begun}, timeout=1)
    one.going.set()
    await begun
    fill(kafka.address, topic, range(200, 300), 0)
    fill(kafka.address, topic, range(1200, 1300), 1)
    whole = {*range(300), *range(1000, 1300)}
    async with asyncio.timeout(45):
        while set(one.got) | set(two.got) != whole:
            await asyncio.sleep(0.05)
    assert two.got
    for engine in (one, two):
        for low in (0, 1000):
            mine = [number for number in firsts(engine.got) if low <= number < low + 1000]
            assert mine == sorted(mine)
    await one.end()
    await two.end()
