"""Rucio's messages from a real ActiveMQ: what is not acknowledged comes again, what is never does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import stomp
from tests.servers.activemq import ActiveMq, SecureActiveMq
from tests.servers.plugin import Servers

from penstock.core.errors import Unavailable
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter
from penstock.sources.rucio_stomp import RucioSettings, RucioStomp
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.slow  # a Java machine has to start

DATA = Path(__file__).parents[1] / "data" / "sources" / "rucio"
SAMPLES = (DATA / "messages.jsonl").read_bytes().splitlines()


class Hermes:
    """Writes messages as Rucio's daemon does."""

    def __init__(self, broker: ActiveMq, destination: str = "") -> None:
        self.broker = broker
        self.destination = destination or f"/queue/{uuid4().hex}"

    def send(self, *bodies: bytes) -> None:
        host, _, port = self.broker.address.partition(":")
        connection: Any = stomp.Connection12([(host, int(port))], auto_decode=False)
        connection.connect(wait=True)
        for number, body in enumerate(bodies):
            receipt = {"receipt": str(number)} if number == len(bodies) - 1 else {}
            waiter = stomp.listener.WaitingListener(str(number))
            connection.set_listener("waiter", waiter)
            connection.send(self.destination, body, headers={"persistent": "true", **receipt})
            if receipt:
                waiter.wait_on_receipt()
        connection.disconnect()


class Reading:
    """A source and what it told."""

    def __init__(self, hermes: Hermes, **settings: Any) -> None:
        self.letters: list[DeadLetter] = []
        known = {"storage": "rucio", "brokers": [hermes.broker.address], "destination": hermes.destination}
        context = SourceContext(name="rucio", ledger=MemoryLedger(), dead_letter=self.letters.append)
        self.source = RucioStomp.open(msgspec.convert(known | settings, RucioSettings), context)
        self.stream: AsyncIterator[Sequence[Event]] = self.source.events()

    async def next(self) -> Sequence[Event]:
        return await anext(self.stream)

    async def several(self, count: int) -> list[Event]:
        """Return this many events, all but the last batch acknowledged."""
        found: list[Event] = []
        while len(found) < count:
            found += await self.next()
        return found

    async def end(self) -> None:
        await self.stream.aclose()  # type: ignore[attr-defined]


def numbered(first: int, count: int) -> list[bytes]:
    message = json.loads(SAMPLES[14])
    return [
        json.dumps(message | {"payload": {"scope": "s", "name": f"{number:04}"}}).encode()
        for number in range(first, first + count)
    ]


def names(events: Sequence[Event]) -> list[str]:
    return [(event.subject or "").rpartition("/")[2] for event in events]


@pytest.fixture
def hermes(activemq: ActiveMq) -> Hermes:
    return Hermes(activemq)


@pytest.mark.anyio
async def test_messages_come_in_order_and_once(hermes: Hermes) -> None:
    hermes.send(*SAMPLES)
    first = Reading(hermes)
    events = await first.several(len(SAMPLES))
    assert len({event.id for event in events}) == len(SAMPLES)
    waiting = asyncio.create_task(first.next())
    await asyncio.to_thread(hermes.send, *numbered(0, 1))
    assert names(await waiting) == ["0000"]
    waiting = asyncio.create_task(first.next())
    await asyncio.to_thread(hermes.send, *numbered(1, 1))
    assert names(await waiting) == ["0001"]
    await first.end()


@pytest.mark.anyio
async def test_what_was_not_acknowledged_comes_again_under_its_id(hermes: Hermes) -> None:
    hermes.send(*numbered(0, 3))
    first = Reading(hermes, batch=1)
    (one,), (two,) = await first.next(), await first.next()
    await first.end()
    second = Reading(hermes)
    again = await second.several(2)
    assert again[0].id == two.id
    assert names([one, *again]) == ["0000", "0001", "0002"]
    await second.end()


@pytest.mark.anyio
async def test_poison_is_a_dead_letter_and_never_comes_again(hermes: Hermes) -> None:
    hermes.send(b"garbage", b"\xff\xfe\x00", *numbered(0, 1))
    first = Reading(hermes)
    assert names(await first.several(1)) == ["0000"]
    assert {letter.body for letter in first.letters} == {b"garbage", b"\xff\xfe\x00"}
    waiting = asyncio.create_task(first.next())  # acknowledges
    await asyncio.to_thread(hermes.send, *numbered(1, 1))
    assert names(await waiting) == ["0001"]
    await first.end()
    second = Reading(hermes)
    assert names(await second.next()) == ["0001"]
    assert second.letters == []
    await second.end()


@pytest.mark.anyio
async def test_the_broker_keeps_what_is_not_wanted_yet(hermes: Hermes) -> None:
    hermes.send(*numbered(0, 50))
    slow = Reading(hermes, batch=5, prefetch=10)
    found = list(await slow.next())
    assert slow.source._queue is not None
    assert len(slow.source._queue._arrived) + len(found) <= 10
    while len(found) < 50:
        found += await slow.next()
    assert names(found) == [f"{number:04}" for number in range(50)]
    await slow.end()


@pytest.mark.anyio
async def test_a_topic_s_durable_subscription_keeps_what_comes_while_we_are_away(activemq: ActiveMq) -> None:
    topic = Hermes(activemq, f"/topic/{uuid4().hex}")
    name = uuid4().hex
    first = Reading(topic, subscription=name)
    waiting = asyncio.create_task(first.next())
    await first.source.ready()
    await asyncio.to_thread(topic.send, *numbered(0, 1))
    assert names(await waiting) == ["0000"]
    await first.end()
    await asyncio.to_thread(topic.send, *numbered(1, 1))
    second = Reading(topic, subscription=name)
    found: list[str] = []
    while "0001" not in found:
        found += names(await second.next())
    await second.end()


@pytest.mark.anyio
async def test_a_broker_killed_and_started_again_loses_nothing(activemq: ActiveMq) -> None:
    hermes = Hermes(activemq)
    hermes.send(*numbered(0, 20))
    first = Reading(hermes, batch=10)
    found = list(await first.next())
    activemq.kill()
    with pytest.raises(Unavailable, match="STOMP broker"):
        await first.several(100)
    with pytest.raises(Unavailable, match="STOMP broker"):
        await Reading(hermes).next()
    await asyncio.to_thread(activemq.start)
    second = Reading(hermes)
    while len(set(names(found))) < 20:
        found += await second.next()
    assert len({event.id for event in found}) == 20
    await second.end()


@pytest.mark.anyio
async def test_a_broker_behind_tls_is_checked_and_lets_in_who_has_the_password(
    servers: Servers, tmp_path: Path
) -> None:
    broker = await asyncio.to_thread(servers.start, SecureActiveMq)
    (tmp_path / "password").write_text(broker.password)
    (tmp_path / "wrong").write_text("wrong")
    hermes = Hermes(broker)
    known = {"tls": True, "ca": str(broker.ca), "user": broker.user, "heartbeat_s": 0}
    reading = Reading(hermes, **known, password={"file": str(tmp_path / "password")})
    waiting = asyncio.create_task(reading.next())
    await reading.source.ready()
    await reading.source.close()
    with pytest.raises(Unavailable, match="closed"):
        await waiting
    for unlike in ({"ca": None}, {"password": {"file": str(tmp_path / "wrong")}}, {"tls": False, "ca": None}):
        settings = known | {"password": {"file": str(tmp_path / "password")}} | unlike
        with pytest.raises(Unavailable, match="STOMP broker") as caught:
            await Reading(hermes, **settings).next()
        assert broker.password not in str(caught.value)
    broker.kill()


@pytest.mark.anyio
async def test_closing_ends_the_stream(hermes: Hermes) -> None:
    reading = Reading(hermes)
    waiting = asyncio.create_task(reading.next())
    await reading.source.ready()
    await reading.source.close()
    with pytest.raises(Unavailable, match="closed"):
        await waiting


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"brokers": []}, "at least one"),
        ({"brokers": ["nowhere"]}, "host:port"),
        ({"destination": "/topic/events"}, "'subscription'"),
        ({"prefetch": 0}, "prefetch"),
    ],
)
def test_faulty_settings_are_named(settings: dict[str, Any], words: str) -> None:
    known = {"storage": "rucio", "brokers": ["b:61613"], "destination": "/queue/events"}
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(known | settings, RucioSettings)


@pytest.mark.anyio
async def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    settings = RucioSettings(storage="r", brokers=("127.0.0.1:9",), destination="/queue/x")
    context = SourceContext(name="r", ledger=MemoryLedger(), dead_letter=lambda _: None)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        await anext(aiter(RucioStomp.open(settings, context).events()))
    assert time.monotonic() - began < 60
