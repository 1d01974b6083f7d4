"""Ingest at a site: dCache's billing records from Kafka to decisions in PostgreSQL, beside a bare consumer.

The records are normalised by a process of the role ``sources``, appended to the log's topic, followed by one
of the role ``runs``, deduplicated, joined with the ledger, routed with 10,000 filters, and their decisions
are committed. The floor reads the same records by the same client library, and only parses their JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.site.installation import SiteInstallation

from benchmarks.billing import deployments, records
from benchmarks.blocks import spread
from benchmarks.ground import processor_s
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.site_ground import CORES, Places, pin, servers, site
from benchmarks.sizes import Sizes
from penstock.log.kafka import KafkaLog
from penstock.log.kafka_binding import partition_of, to_message
from penstock.sources.dcache.billing import Billing
from penstock.sources.dcache.paths import KnownPaths
from penstock.state.postgres.changes import changes
from penstock.state.postgres.fence import owners
from penstock.state.postgres.session import connect

FLOOR = Path(__file__).parent / "floors" / "consume.py"
LEAST = 1 / 3
"""Of the bare consumer's rate."""
TWICE = 1.7
"""Times the rate of one process that two reach."""
WAIT_S = 300.0
PARTITIONS = 4
TOPIC_PARTITIONS = 4
CHUNK = 250
"""Events of a deployment appended at once."""


class Part(NamedTuple):
    """Records in a time.

    Attributes:
        rate: Records a second.
        cpu_us: Processor time of each process for one record, in microseconds.
    """

    rate: float
    cpu_us: Sequence[float]


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of the ingest."""
    places = Places(clients=2)
    with servers(places) as (folder, kafka, postgres):
        topic = f"billing-{uuid4().hex[:8]}"
        make_topic(kafka.address, topic)
        source = ["[[sources]]", 'kind = "dcache-kafka"', 'name = "billing"', 'storage = "dcache"']
        source += [f'servers = "{kafka.address}"', f'topics = ["{topic}"]', 'begin = "start"']
        with site(folder / "home", kafka, postgres, PARTITIONS, source) as installation:
            bench = _Bench(installation, places, topic, sizes)
            yield from bench.one(tick)
            yield bench.two(tick)
            bench.check()


class _Bench:
    def __init__(self, installation: SiteInstallation, places: Places, topic: str, sizes: Sizes) -> None:
        self._site, self._places, self._topic, self._sizes = installation, places, topic, sizes
        self._blocks = self._expected = self._told = 0

    def one(self, tick: Tick) -> Iterator[Row]:
        """Yield rate and processor time of one process of each role."""
        sources, runs = self._start("sources", 0), self._start("runs", 1)
        while (self._site.home / "runs.log").read_text().count("is ours") < PARTITIONS:
            time.sleep(0.2)
        asyncio.run(self._deploy())
        tick("warming")
        self._feed(self._sizes.billing // 10)
        asyncio.run(self._decided())
        floors, products = [], []
        for number in range(self._sizes.blocks):
            tick(f"{number}/{self._sizes.blocks} blocks")
            products.append(self._block([sources, runs]))
            floors.append(self._floor())
        yield self._rate_row(floors, products)
        yield self._processor_row(floors, products)

    def _rate_row(self, floors: Sequence[Part], products: Sequence[Part]) -> Row:
        ratios = [each.rate / floor.rate for each, floor in zip(products, floors, strict=True)]
        ratio, enough = median(ratios), self._places.enough
        few = f"not measured: {len(CORES)} cores for broker, database and two clients; they share"
        return row(
            "ingest.rate",
            median(each.rate for each in products),
            "records/s",
            floor=median(each.rate for each in floors),
            ratio=ratio,
            spread=spread(ratios),
            target=LEAST,
            holds=ratio >= LEAST if enough else None,
            cores=self._places.words,
            **({} if enough else {"note": few}),
        )

    def _processor_row(self, floors: Sequence[Part], products: Sequence[Part]) -> Row:
        """What a core gives to each process: the slower of the two decides."""
        ratios = [floor.cpu_us[0] / max(each.cpu_us) for each, floor in zip(products, floors, strict=True)]
        sources, runs = (median(each.cpu_us[part] for each in products) for part in range(2))
        return row(
            "ingest.processor",
            max(sources, runs),
            "us/record",
            floor=median(each.cpu_us[0] for each in floors),
            ratio=median(ratios),
            spread=spread(ratios),
            target=LEAST,
            holds=median(ratios) >= LEAST,
            sources=sources,
            runs=runs,
            note="ratio: bare over the slower of two processes, as if each had a core",
        )

    def two(self, tick: Tick) -> Row:
        """Return how much faster two processes fold what lies on the log than one."""
        if len(CORES) < 5:
            why = f"not measured: {len(CORES)} cores; broker, database, source and two processes want 5"
            return row("ingest.two", None, "records/s", target=TWICE, note=why)
        rates = []
        for count in (1, 2):
            tick(f"{count} processes")
            if count == 2:
                self._start("runs 2", 2)
            self._shared_by(count)
            rates.append(median(self._fold() for _ in range(self._sizes.blocks)))
        ratio = rates[1] / rates[0]
        return row(
            "ingest.two",
            rates[1],
            "records/s",
            floor=rates[0],
            ratio=ratio,
            target=TWICE,
            holds=ratio >= TWICE,
        )

    def _fold(self) -> float:
        """Put events on the log as a source would, and return at which rate they are folded."""
        normal = Billing("dcache", KnownPaths(1))
        self._blocks += 1
        given = records(self._sizes.routed, self._sizes.billing, self._blocks)
        events = [event for event in map(normal.event, given) if event is not None]
        placed = [(partition_of(each.partitionkey or "", PARTITIONS), to_message(each)) for each in events]
        producer = Producer({"bootstrap.servers": self._site.kafka.servers, "linger.ms": 20})
        begun = time.perf_counter()
        for part, (key, value, headers) in placed:
            producer.produce(self._site.kafka.topic, value, key, part, headers=headers)
        producer.flush(60)
        self._expected += len(placed)
        self._told += len(set(given))
        asyncio.run(self._decided())
        return len(placed) / (time.perf_counter() - begun)

    def _shared_by(self, count: int) -> None:
        """Return when so many processes own the partitions."""
        with connect(self._site.postgres, "bench") as session:
            while len({each.owner for each in owners(session) if each.partition >= 0}) != count:
                time.sleep(0.5)

    def _start(self, name: str, place: int) -> int:
        process = self._site.start(name, name.partition(" ")[0])
        pin(process.pid, self._places.client(place))
        return process.pid

    def _block(self, pids: Sequence[int]) -> Part:
        """Let the source stand still while its topic is filled, then measure it and who folds."""
        self._site.processes["sources"].send_signal(signal.SIGSTOP)
        self._feed(self._sizes.billing)
        before = [processor_s(pid) for pid in pids]
        begun = time.perf_counter()
        self._site.processes["sources"].send_signal(signal.SIGCONT)
        asyncio.run(self._decided())
        seconds = time.perf_counter() - begun
        used = [processor_s(pid) - first for pid, first in zip(pids, before, strict=True)]
        count = self._sizes.billing
        return Part(count / seconds, [each / count * 1e6 for each in used])

    def _floor(self) -> Part:
        command = [sys.executable, str(FLOOR), self._site.kafka.servers, self._topic]
        command += [str(TOPIC_PARTITIONS), str(self._sizes.billing)]
        core = str(self._places.client(0))
        said = subprocess.run(["taskset", "-c", core, *command], check=True, capture_output=True).stdout
        told = json.loads(said)
        return Part(told["records"] / told["seconds"], [told["cpu_s"] / told["records"] * 1e6])

    def _feed(self, count: int) -> None:
        """Put records on the billing topic."""
        self._blocks += 1
        given = records(self._sizes.routed, count, self._blocks)
        self._expected += count
        self._told += len(set(given))
        producer = Producer({"bootstrap.servers": self._site.kafka.servers, "linger.ms": 20})
        for number, record in enumerate(given):
            producer.produce(self._topic, record, partition=number % TOPIC_PARTITIONS)
            if number % 1000 == 0:
                producer.poll(0)
        if producer.flush(60):
            raise Failed("the broker does not take the records")

    async def _deploy(self) -> None:
        events, log = deployments(self._sizes.routed), await asyncio.to_thread(KafkaLog, self._site.kafka)
        for start in range(0, len(events), CHUNK):
            chunk = events[start : start + CHUNK]
            await log.append_to([(part, event) for event in chunk for part in range(PARTITIONS)])
        await asyncio.to_thread(log.close)
        self._expected += len(events) * PARTITIONS
        await self._decided()

    async def _decided(self) -> None:
        """Return when everything that is on the log was folded, and that is committed.

        Raises:
            Failed: It takes too long.
        """
        folded: dict[int, int] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                async for told in changes(self._site.postgres):
                    folded |= {each.partition: each.offset for each in told if each.partition >= 0}
                    if sum(folded.values()) >= self._expected:
                        return
        except TimeoutError:
            raise Failed(
                f"{folded} of {self._expected} were folded in {WAIT_S:g} s:\n{self._site.said()}"
            ) from None

    def check(self) -> None:
        """Compare the decisions with what was told.

        Raises:
            Failed: One is missing, or there twice.
        """
        with connect(self._site.postgres, "bench") as session:
            ((found,),) = session.execute(
                "SELECT count(*) FROM decisions WHERE outcome = 'paused'"
            ).fetchall()
        if found != self._told:
            raise Failed(f"{self._told} uploads were told of, and {found} decisions are recorded")


def make_topic(servers: str, topic: str) -> None:
    """Make a topic for records."""
    admin = AdminClient({"bootstrap.servers": servers})
    wanted = NewTopic(topic, num_partitions=TOPIC_PARTITIONS, replication_factor=1)
    admin.create_topics([wanted])[topic].result(30)
