"""Every source does what sources must; those on real servers are tested with them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.servers.activemq import ActiveMq
from tests.servers.kafka import Kafka
from tests.sources.test_kafka import Topic
from tests.sources.test_rucio_stomp import Hermes, numbered

from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.outside.secret import Secret
from penstock.sources.gpfs_kafka import GpfsKafka, GpfsSettings
from penstock.sources.mapped_kafka import MappedKafka, MappedKafkaSettings
from penstock.sources.mapping import MappingSettings
from penstock.sources.rucio_stomp import RucioSettings, RucioStomp
from penstock.sources.s3_kafka import S3Kafka, S3KafkaSettings
from penstock.sources.s3_webhook import S3Webhook, S3WebhookSettings
from penstock.sources.webhook import Webhook, WebhookSettings
from penstock.sources.xrootd_notify import XrootdNotify, XrootdSettings
from penstock.testing.receiver_suite import ReceiverSuite
from penstock.testing.source_suite import SourceSuite

DATA = Path(__file__).parents[1] / "data" / "sources"
SECRET = "0123456789abcdef"
AWS = json.loads((DATA / "s3" / "aws.jsonl").read_bytes().splitlines()[0])
GPFS = json.loads((DATA / "gpfs-watch-folder" / "events.jsonl").read_bytes().splitlines()[4])


def named(event: Event) -> int:
    return int((event.subject or "").rpartition("/")[2])


def put_object(number: int) -> bytes:
    message = json.loads(json.dumps(AWS))
    message["Records"][0]["s3"]["object"] |= {"key": str(number), "versionId": f"v{number}"}
    return json.dumps(message).encode()


class TestXrootdNotify(SourceSuite):
    @pytest.fixture(autouse=True)
    def _spool(self, _folder: None) -> None:
        self.spool = self.folder / "spool"
        self.spool.mkdir()
        (self.spool / "00000000000000000001.notices").write_bytes(b"1 ! start\n")

    def open(self, context: SourceContext) -> XrootdNotify:
        return XrootdNotify.open(XrootdSettings(storage="door", spool=str(self.spool)), context)

    async def tell(self, numbers: Sequence[int]) -> None:
        self.write(*(b"a.1:2@h closew /raw/%d" % number for number in numbers))

    async def poison(self) -> None:
        self.write(b"what?")

    def write(self, *lines: bytes) -> None:
        newest = max(self.spool.iterdir())
        with newest.open("ab") as file:
            file.write(b"".join(b"%d = %b\n" % (time.time_ns(), line) for line in lines))

    def number(self, event: Event) -> int:
        return named(event)


@pytest.mark.slow
class TestRucioStomp(SourceSuite):
    batch_max = 50

    @pytest.fixture(autouse=True)
    def _broker(self, activemq: ActiveMq) -> None:
        self.hermes = Hermes(activemq)

    def open(self, context: SourceContext) -> RucioStomp:
        settings = RucioSettings(
            storage="rucio",
            brokers=(self.hermes.broker.address,),
            destination=self.hermes.destination,
            batch=self.batch_max,
        )
        return RucioStomp.open(settings, context)

    async def tell(self, numbers: Sequence[int]) -> None:
        await asyncio.to_thread(self.hermes.send, *(numbered(number, 1)[0] for number in numbers))

    async def poison(self) -> None:
        await asyncio.to_thread(self.hermes.send, b"what?")

    def number(self, event: Event) -> int:
        return named(event)


class OnKafka(SourceSuite):
    """Sources on a Kafka topic; their records differ."""

    batch_max = 100

    @pytest.fixture(autouse=True)
    def _topic(self, kafka: Kafka) -> None:
        self.topic = Topic(kafka.address)
        self.group = uuid4().hex

    def common(self) -> dict[str, Any]:
        return {
            "servers": self.topic.address,
            "topics": (self.topic.name,),
            "group": self.group,
            "begin": "start",
            "batch_records": self.batch_max,
            "storage": "store",
        }

    def record(self, number: int) -> bytes:
        raise NotImplementedError

    async def tell(self, numbers: Sequence[int]) -> None:
        await asyncio.to_thread(self.topic.send, *(self.record(number) for number in numbers))

    async def poison(self) -> None:
        await asyncio.to_thread(self.topic.send, b"what?")

    def number(self, event: Event) -> int:
        return named(event)


@pytest.mark.slow
class TestGpfsKafka(OnKafka):
    def open(self, context: SourceContext) -> GpfsKafka:
        return GpfsKafka.open(GpfsSettings(**self.common()), context)

    def record(self, number: int) -> bytes:
        return json.dumps(GPFS | {"path": f"/gpfs/{number}"}).encode()


@pytest.mark.slow
class TestS3Kafka(OnKafka):
    def open(self, context: SourceContext) -> S3Kafka:
        return S3Kafka.open(S3KafkaSettings(**self.common()), context)

    def record(self, number: int) -> bytes:
        return put_object(number)


@pytest.mark.slow
class TestMappedKafka(OnKafka):
    def open(self, context: SourceContext) -> MappedKafka:
        mapping = MappingSettings(path="join('/', ['', 'x', n])")
        return MappedKafka.open(MappedKafkaSettings(mapping=mapping, **self.common()), context)

    def record(self, number: int) -> bytes:
        return json.dumps({"n": str(number)}).encode()


class Posted(ReceiverSuite):
    """Sources that are called with a bearer token."""

    def secret(self) -> Secret:
        file = self.folder / "secret"
        file.write_text(SECRET)
        return Secret(file=str(file))

    def body(self, number: int) -> bytes:
        raise NotImplementedError

    def request(self, number: int) -> tuple[Mapping[str, str], bytes]:
        return {"authorization": f"Bearer {SECRET}"}, self.body(number)

    def stranger(self) -> tuple[Mapping[str, str], bytes]:
        return {"authorization": "Bearer 0000000000000000"}, self.body(0)

    def poison(self) -> tuple[Mapping[str, str], bytes]:
        return {"authorization": f"Bearer {SECRET}"}, b"what?"


class TestS3Webhook(Posted):
    def open(self, context: SourceContext) -> S3Webhook:
        return S3Webhook.open(S3WebhookSettings(storage="objects", secret=self.secret()), context)

    def body(self, number: int) -> bytes:
        return put_object(number)


class TestWebhook(Posted):
    def open(self, context: SourceContext) -> Webhook:
        settings = WebhookSettings(storage="cloud", secret=self.secret(), mapping=MappingSettings(path="p"))
        return Webhook.open(settings, context)

    def body(self, number: int) -> bytes:
        return json.dumps({"p": f"/{number}"}).encode()
