"""Billing through a real Kafka and event streams over HTTP, side by side, both of them losing things."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.servers.kafka import Kafka

from penstock.core.event import FILE_CREATED, file_record
from penstock.outside.secret import Secret
from penstock.sources.dcache.billing import Billing
from penstock.sources.dcache.billing_topic import DCacheKafka, DCacheKafkaSettings
from penstock.sources.dcache.paths import KnownPaths
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.streams import DCacheSseSource
from penstock.testing.dcache.following import Folding, Following
from penstock.testing.dcache.site import SimulatedDCache

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
RAW = "/pnfs/p11/raw"
TOPIC = "dcache-billing"
PARTITIONS = 3


async def test_each_write_is_told_once_whoever_heard_of_it(kafka: Kafka, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    chance = Random(7)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
    producer = Producer({"bootstrap.servers": kafka.address, "linger.ms": 0})

    billed: set[str] = set()
    reader = Billing("d", KnownPaths(1000))

    def to_kafka(record: bytes) -> None:
        if (event := reader.event(record)) is not None:
            billed.add(event.id)
        producer.produce(TOPIC, record, partition=chance.randrange(PARTITIONS))

    folding = Folding()
    async with SimulatedDCache(to_kafka, publishers=("direct", "billing"), root="/pnfs") as dcache:
        dcache.make_folder(RAW)
        billing = DCacheKafkaSettings(servers=kafka.address, topics=(TOPIC,), storage="d", begin="start")
        streams = DCacheSseSettings(
            frontend=dcache.frontend.address,
            token=Secret(file=str(tmp_path / "token")),
            storage="d",
            folders=("/p11/raw",),
        )
        by_kafka = Following(
            lambda context: DCacheKafka.open(billing, context), folding.ledger, folding=folding, name="b"
        )
        by_stream = Following(
            lambda context: DCacheSseSource.open(streams, context), folding.ledger, folding=folding, name="s"
        )
        async with by_kafka, by_stream:
            await by_stream.ready()
            written = set()
            for number in range(120):
                transport = dcache.billing.transport
                transport.lose, transport.double = chance.choice([(0, 0), (0, 2), (8, 0)])
                path = f"{RAW}/{number % 90}"  # the last thirty write over what is there
                written.add((path, dcache.write(path, number + 1).pnfsid))
                if number % 40 == 20:
                    dcache.frontend.disconnect()
                if number == 70:
                    for channel in list(dcache.frontend.channels.values()):
                        dcache.frontend.expire(channel)
                await asyncio.sleep(0)
            producer.flush(20)
            there = {entry.pnfsid for entry in dcache.tree.at(RAW).children.values()}

            def all_there() -> bool:
                return there <= {row.version for row in folding.ledger.rows.values() if row.present}

            await by_stream.until(all_there)
            await by_kafka.until(lambda: billed <= {event.id for event in by_kafka.raw})
    told = [file_record(event) for event in folding.told if event.type == FILE_CREATED]
    contents = [(record.path, record.version) for record in told]
    assert len(contents) == len(set(contents))
    assert set(contents) <= written
    assert there <= {version for _, version in contents}
    assert billed
    assert not by_kafka.letters
