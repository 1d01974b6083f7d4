"""A campaign against a site: anything is killed or stands still at random instants while files change."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from penstock.core.event import NEW_CONTENT
from penstock.log.kafka import KafkaLog
from penstock.state.postgres.session import connect
from tests.faults.test_kill import HERE, Writer
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.servers.server import Server
from tests.site.installation import SiteInstallation

PARTITIONS = 4
PROCESSES = {"api": "api", "runs a": "runs", "runs b": "runs", "sources": "sources"}
PAUSE_S = 0.05
"""Mean time between two changes of files, in seconds."""
CALM_S = 6.0
"""Longest time between two faults."""
DOWN_S = 3.0
"""Longest time that something killed stays away."""
STILL_S = 15.0
"""Longest time that something stands still; a member of the group is given up after 10 s."""
SETTLED_S = 240.0
OURS = ("results", ".penstock")


class Account(NamedTuple):
    """What log, state and storage say at the end; each entry names one case.

    Attributes:
        versions: How many contents of files the log tells of.
        lost: Contents without a run, runs without an event, files without their result.
        doubled: Contents with two runs, results that were published twice.
        failed: Runs that did not succeed though their file is there as it was.
    """

    versions: int
    lost: list[str]
    doubled: list[str]
    failed: list[str]


class Campaign:
    """One site, its broker and its database, and what is done to them.

    Args:
        home: Empty folder for all of it.
        seed: Of what is done, to whom, and to which files.
    """

    def __init__(self, home: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self.broker, self.database = Kafka(home / "kafka"), Postgres(home / "postgres")
        self._home, self._seed = home, seed
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> Account:
        """Do it for so long, let everything come to its end, and account for it."""
        for server in (self.broker, self.database):
            await asyncio.to_thread(server.start)
        self.site = SiteInstallation(self._home / "site", self.broker, self.database, PARTITIONS)
        self.writer = Writer(self.site.files, self._seed)
        for name, role in PROCESSES.items():
            self.site.start(name, role)
        await self.site.deploy(self._definitions())
        ended = asyncio.Event()
        writing = asyncio.create_task(self._write(ended))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.random() * CALM_S)
            await self._harm()
        ended.set()
        await writing
        await self._settle()
        return await asyncio.to_thread(self._account)

    def close(self) -> None:
        """Kill what is left."""
        if hasattr(self, "site"):
            self.site.close()
        for server in (self.broker, self.database):
            server.kill()

    def _definitions(self) -> Path:
        text = (HERE / "functions.py").read_text()
        text = text.replace("import Call, function", "import Call, Retry, function")
        text = text.replace("@function(on=", "@function(retry=Retry(attempts=20, delay_s=0.05), on=")
        file = self._home / "functions.py"
        file.write_text(text)
        return file

    async def _write(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            self.writer.act()
            await asyncio.sleep(self._chance.random() * PAUSE_S * 2)

    async def _harm(self) -> None:
        victim = self._chance.choice([*PROCESSES, "broker", "database"])
        kills = self._chance.random() < 0.5
        self.done[f"{'killed' if kills else 'stopped'} {victim}"] += 1
        wait_s = self._chance.random() * (DOWN_S if kills else STILL_S)
        servers: dict[str, Server] = {"broker": self.broker, "database": self.database}
        if victim in servers:
            await self._harm_server(servers[victim], wait_s, kills=kills)
        else:
            await self._harm_process(victim, wait_s, kills=kills)

    async def _harm_server(self, server: Server, wait_s: float, *, kills: bool) -> None:
        server.kill() if kills else server.pause()
        await asyncio.sleep(wait_s)
        await asyncio.to_thread(server.start if kills else server.resume)

    async def _harm_process(self, name: str, wait_s: float, *, kills: bool) -> None:
        if not kills:
            process = self.site.processes[name]
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(wait_s)
            process.send_signal(signal.SIGCONT)
            return
        await asyncio.to_thread(self.site.end, name, signal.SIGKILL)
        await asyncio.sleep(wait_s)
        self.site.start(name, PROCESSES[name])

    async def _settle(self) -> None:
        """Return when every file that is there has its result, and no run is under way."""
        deadline = time.monotonic() + SETTLED_S
        while self._unfinished():
            assert time.monotonic() < deadline, (
                f"unfinished with the seed {self._seed}: {self._unfinished()[:3]}\n"
                f"{self._standing()}\n{self.done}\n{self.site.said()}"
            )
            await asyncio.sleep(0.5)

    def _unfinished(self) -> list[str]:
        missing = self._without_result()
        with connect(self.site.postgres, "check") as session:
            active = session.execute(
                "SELECT id, subject, phase FROM runs WHERE phase NOT IN ('succeeded', 'failed', 'cancelled')"
            ).fetchall()
        return missing + [f"run {run} of {subject} is {phase}" for run, subject, phase in active]

    def _standing(self) -> str:
        """Say who owns what, how far it is folded, and how long it is."""
        with connect(self.site.postgres, "check") as session:
            found = session.execute(
                'SELECT p.partition, p.owner, p.epoch, c."offset" FROM partitions p LEFT JOIN cursors c '
                "ON c.shard = p.partition AND c.reader = 'pump' WHERE p.partition >= 0 ORDER BY 1"
            ).fetchall()
            phases = session.execute("SELECT shard, phase, count(*) FROM runs GROUP BY 1, 2").fetchall()
        lines = [f"partition {part}: {owner}, epoch {epoch}, at {at}" for part, owner, epoch, at in found]
        log = KafkaLog(self.site.kafka)
        lines += [f"ends {log.end().offsets}, runs {phases}"]
        log.close()
        alive = {name: process.pid for name, process in self.site.processes.items()}
        return "\n".join([*lines, str(alive)])

    def _without_result(self) -> list[str]:
        root, missing = self.site.files, []
        for path in root.rglob("*.raw"):
            relative = path.relative_to(root)
            if relative.parts[0] in OURS:
                continue
            result = root / "results" / relative.parent / f"{path.stem}.sha256"
            wanted = hashlib.sha256(path.read_bytes()).hexdigest()
            if not result.exists() or result.read_text() != wanted:
                missing.append(f"{relative} has {'another' if result.exists() else 'no'} result")
        return missing

    def _account(self) -> Account:
        versions, results = self._told()
        with connect(self.site.postgres, "check") as session:
            rows = session.execute("SELECT event_id, subject, phase, error FROM runs").fetchall()
        runs = Counter(event for event, *_ in rows)
        lost = [f"{path}: no run for {event}" for event, path in versions.items() if event not in runs]
        lost += [
            f"a run for {event}, which the log does not tell of" for event in runs.keys() - versions.keys()
        ]
        doubled = [f"{count} runs for {event}" for event, count in runs.items() if count > 1]
        doubled += [f"{key} was published {len(ids)} times" for key, ids in results.items() if len(ids) > 1]
        newest = {path: event for event, path in versions.items()}
        failed = [
            f"{subject}: {phase}: {error}"
            for event, subject, phase, error in rows
            if phase != "succeeded" and newest.get(subject) == event and Path(subject).exists()
        ]
        return Account(len(versions), lost + self._without_result(), doubled, failed)

    def _told(self) -> tuple[dict[str, str], dict[tuple[str, str], set[str]]]:
        """Return the contents of inputs, id to path, in their order, and who published which result."""
        versions: dict[str, str] = {}
        results: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for partition in range(PARTITIONS):
            log = KafkaLog(self.site.kafka, partition)
            try:
                for record in log.read(0, log.end().offsets[0]):
                    event, path = record.event, record.event.subject or ""
                    if event.type in NEW_CONTENT and path.endswith(".raw"):
                        versions[event.id] = path
                    elif event.type in NEW_CONTENT and event.cause:
                        results[path, event.cause].add(event.id)
            finally:
                log.close()
        return versions, results
