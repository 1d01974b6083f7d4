"""Site latency: from a storage's record in Kafka to the first line of its function, beside the bare way.

The record takes two topics: the storage's, from which a process of the role ``sources`` makes an event, and
the log's, which a process of the role ``runs`` follows. Its state is committed to PostgreSQL. The floor is
one topic and one table: a record is produced, consumed, and an insert of it committed, by the same libraries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.site.installation import SiteInstallation

from benchmarks.billing import records
from benchmarks.blocks import Block, latency_rows
from benchmarks.ingest import make_topic
from benchmarks.rows import Failed, Row, Tick
from benchmarks.site_ground import Places, pin, servers, site
from benchmarks.sizes import Sizes
from penstock.state.postgres.session import Session, connect

P50_MOST = 3.0
RATE = 20
"""Records a second."""
WAIT_S = 60.0
DEFINITIONS = """
import time
from penstock import function

@function(on={"all": [{"exact": {"type": "penstock.file.created"}}, {"prefix": {"path": "/data/"}}]})
def stamp(call):
    begun = time.monotonic_ns()
    return {"begun": begun, "path": call.event["subject"]}
"""


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of the latency."""
    places = Places(clients=2)
    with servers(places) as (folder, kafka, postgres):
        topic = f"billing-{uuid4().hex[:8]}"
        make_topic(kafka.address, topic)
        source = ["[[sources]]", 'kind = "dcache-kafka"', 'name = "billing"', 'storage = "dcache"']
        source += [f'servers = "{kafka.address}"', f'topics = ["{topic}"]', 'begin = "start"']
        with site(folder / "home", kafka, postgres, 1, source) as installation:
            product, floor = _Product(installation, places, topic), _Floor(kafka, postgres)
            product.block(20)
            blocks = []
            for number in range(sizes.blocks):
                tick(f"{number}/{sizes.blocks} blocks")
                blocks.append(Block(durable=floor.block(sizes.graphs), product=product.block(sizes.graphs)))
        floor.close()
    for each in latency_rows("site_latency", blocks, P50_MOST, None):
        yield each | {"cores": places.words}


class _Product:
    """A site with one process of each role.

    Args:
        installation: Without processes.
        places: Cores.
        topic: The storage's.
    """

    def __init__(self, installation: SiteInstallation, places: Places, topic: str) -> None:
        self._site, self._topic, self._blocks = installation, topic, 0
        for place, name in enumerate(("sources", "runs", "api")):
            process = installation.start(name, name)
            if name != "api":
                pin(process.pid, places.client(place))
        definitions = installation.home / "definitions.py"
        definitions.write_text(DEFINITIONS)
        asyncio.run(installation.deploy(definitions))
        self._producer = Producer({"bootstrap.servers": installation.kafka.servers, "linger.ms": 0})
        self._session = connect(installation.postgres, "bench")

    def block(self, count: int) -> Sequence[int]:
        """Produce so many records, one at a time, and return how long each took to its function, in ns."""
        self._blocks += 1
        produced = {}
        for record in dict.fromkeys(records(1000, count, self._blocks)):
            path = msgspec.json.decode(record)["billingPath"]
            produced[path] = time.monotonic_ns()
            self._producer.produce(self._topic, record)
            self._producer.poll(1 / RATE)
        begun = self._begun(produced.keys())
        return [begun[path] - at for path, at in produced.items()]

    def _begun(self, paths: Collection[str]) -> dict[str, int]:
        """Return when each path's function began.

        Raises:
            Failed: Some did not begin in time.
        """
        deadline, begun = time.monotonic() + WAIT_S, {}
        while time.monotonic() < deadline:
            found = self._session.execute("SELECT result FROM attempts WHERE phase = 'succeeded'").fetchall()
            results = [msgspec.json.decode(result) for (result,) in found]
            begun = {each["path"]: each["begun"] for each in results}
            if begun.keys() >= set(paths):
                return begun
            time.sleep(0.5)
        raise Failed(f"{len(begun)} functions ran; the site said:\n{self._site.said()}")


class _Floor:
    """Produce, consume, commit."""

    def __init__(self, kafka: Kafka, postgres: Postgres) -> None:
        topic = f"floor-{uuid4().hex[:8]}"
        make_topic(kafka.address, topic)
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": kafka.address, "linger.ms": 0})
        self._consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": "floor"})
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._session: Session = connect(postgres.fresh(), "floor")
        self._session.execute("CREATE TABLE IF NOT EXISTS public.floor (body bytea)")
        self._blocks = 0
        self.block(20)

    def block(self, count: int) -> Sequence[int]:
        """Return how long so many records took, in nanoseconds."""
        self._blocks += 1
        return [self._one(record) for record in records(1000, count, self._blocks)]

    def _one(self, record: bytes) -> int:
        time.sleep(1 / RATE)
        begun = time.monotonic_ns()
        self._producer.produce(self._topic, record, partition=0)
        message = self._consumer.consume(1, WAIT_S)[0]
        self._session.execute("INSERT INTO public.floor VALUES (%s)", (message.value(),), prepare=True)
        taken = time.monotonic_ns() - begun
        self._producer.poll(0)
        return taken

    def close(self) -> None:
        """Let go."""
        self._consumer.close()
        self._session.close()
