"""Topics become events: shared among processes, positions of our own, poison told, nothing skipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.servers.kafka import Kafka

from penstock.core.errors import Invalid, Unavailable
from penstock.core.event import Event, json_data, notice_id
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter, PositionRow
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings
from penstock.testing.ledger import MemoryLedger

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
_numbers = count()


def normalise(record: KafkaRecord) -> Sequence[Event]:
    """Read what the tests write."""
    try:
        body = json.loads(record.value or b"")
    except ValueError as error:
        raise Invalid(f"no JSON: {error}") from error
    if body.get("skip"):
        return ()
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return [
        Event(
            id=notice_id("s", "test", place.encode()),
            source="/storages/s",
            type="test.number",
            subject=str(body["n"]),
            data=json_data(body),
        )
    ]


class Topic:
    """A fresh topic and the means to fill it."""

    def __init__(self, address: str, partitions: int = 1) -> None:
        self.address = address
        self.name = f"source-{next(_numbers)}"
        self.admin = AdminClient({"bootstrap.servers": address})
        self.admin.create_topics([NewTopic(self.name, partitions, 1)])[self.name].result(20)
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": 0})

    def send(self, *bodies: object, partition: int = 0) -> None:
        for body in bodies:
            value = body if isinstance(body, bytes) else json.dumps(body).encode()
            self._producer.produce(self.name, value, partition=partition)
        assert self._producer.flush(20) == 0

    def numbers(self, first: int, behind: int, partition: int = 0) -> None:
        self.send(*({"n": n} for n in range(first, behind)), partition=partition)


class Reading:
    """One source with its memory."""

    def __init__(self, topic: Topic, ledger: MemoryLedger | None = None, **settings: object) -> None:
        self.letters: list[DeadLetter] = []
        self.ledger = ledger or MemoryLedger()
        context = SourceContext(name="numbers", ledger=self.ledger, dead_letter=self.letters.append)
        given = {"servers": topic.address, "topics": (topic.name,), "group": topic.name, "begin": "start"}
        self.source = KafkaSource(KafkaSourceSettings(**{**given, **settings}), context, normalise)  # type: ignore[arg-type]
        self.got: list[int] = []
        self._more = asyncio.Event()
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        stream: AsyncIterator[Sequence[Event]] = self.source.events()
        try:
            async for events in stream:
                self.got += [int(event.subject or "") for event in events]
                self._more.set()
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once ``holds``; looked at whenever events have come."""
        while not holds():
            if self.task.done():
                self.task.result()
            self._more.clear()
            waiting = asyncio.create_task(self._more.wait())
            await asyncio.wait({waiting, self.task}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    async def end(self) -> None:
        """End it and leave the group."""
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.source.close()


async def test_records_come_in_order_and_go_on_where_the_ledger_stands(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    topic.numbers(0, 1200)
    first = Reading(topic)
    await first.until(lambda: len(first.got) == 1200)
    assert first.got == list(range(1200))
    topic.numbers(1200, 1203)
    await first.until(lambda: len(first.got) == 1203)
    await first.end()
    positions = first.ledger.positions("numbers")
    assert int(positions[f"{topic.name}/0"]) >= 1200
    topic.numbers(1203, 1210)
    again = Reading(topic, first.ledger)
    await again.until(lambda: bool(again.got) and again.got[-1] == 1209)
    assert again.got == list(range(int(positions[f"{topic.name}/0"]), 1210))
    await again.end()


async def test_the_ledger_wins_over_what_the_group_has_committed(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    topic.numbers(0, 10)
    first = Reading(topic)
    await first.until(lambda: len(first.got) == 10)
    topic.send({"skip": True})
    topic.numbers(11, 12)
    await first.until(lambda: first.got[-1] == 11)
    await first.end()
    ledger = MemoryLedger()
    ledger.put(PositionRow("numbers", f"{topic.name}/0", "3"))
    again = Reading(topic, ledger)
    await again.until(lambda: bool(again.got) and again.got[-1] == 11)
    assert again.got[0] == 3
    await again.end()


async def test_beginning_at_the_end_is_remembered_before_anything_comes(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    topic.numbers(0, 5)
    first = Reading(topic, begin="end")
    await first.source.ready()
    while not first.ledger.others:  # the position is staged with the first, empty batch
        await asyncio.sleep(0.01)
    await first.end()
    topic.numbers(5, 7)
    again = Reading(topic, first.ledger, begin="end")
    await again.until(lambda: len(again.got) == 2)
    assert again.got == [5, 6]
    await again.end()


async def test_poison_is_told_with_its_place_and_stops_nothing(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    topic.send({"n": 0}, b"\xff{", {"n": 2})
    reading = Reading(topic)
    await reading.until(lambda: reading.got == [0, 2])
    (letter,) = reading.letters
    assert letter.body == b"\xff{"
    assert f"{topic.name}/0/1" in letter.reason
    assert "no JSON" in letter.reason
    await reading.end()


async def test_two_members_share_the_partitions_and_lose_nothing(kafka: Kafka) -> None:
    topic = Topic(kafka.address, partitions=4)
    ledger = MemoryLedger()
    one = Reading(topic, ledger)
    for partition in range(4):
        topic.numbers(100 * partition, 100 * partition + 50, partition)
    await one.until(lambda: len(one.got) == 200)
    two = Reading(topic, ledger)
    await two.source.ready()
    for partition in range(4):
        topic.numbers(100 * partition + 50, 100 * partition + 100, partition)
    whole = set(range(400))
    await asyncio.wait_for(two.until(lambda: set(one.got) | set(two.got) == whole), 30)
    assert two.got, "the second member was given nothing"
    await two.end()
    topic.numbers(400, 404, 3)
    await one.until(lambda: 403 in one.got)
    await one.end()


async def test_what_retention_took_is_told_and_reading_goes_on(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    topic.numbers(0, 10)
    gone = TopicPartition(topic.name, 0, 6)
    topic.admin.delete_records([gone])[gone].result(20)
    ledger = MemoryLedger()
    ledger.put(PositionRow("numbers", f"{topic.name}/0", "2"))
    reading = Reading(topic, ledger)
    await reading.until(lambda: len(reading.got) == 4)
    assert reading.got == [6, 7, 8, 9]
    (letter,) = reading.letters
    assert "records 2 to 5" in letter.reason
    await reading.end()


async def test_a_topic_that_is_absent_is_said_in_words(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    reading = Reading(topic, topics=("no-such-topic",))
    with pytest.raises(Unavailable, match=r"no-such-topic.*no such topic"):
        await reading.until(lambda: False)
    await reading.end()


async def test_brokers_that_are_away_are_said_in_words(kafka: Kafka) -> None:
    topic = Topic(kafka.address)
    reading = Reading(topic, servers="127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await reading.until(lambda: False)
    await reading.end()
