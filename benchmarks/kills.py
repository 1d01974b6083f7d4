"""The kill test, long: SIGKILL to every kind of process while files change; nothing lost, nothing doubled.

A third of the kills hit the engine, and one more each of its boundaries of append, cursor, intent, move and
done; the rest hit zygotes and workers. While the engine is down, files go on being written, renamed and
deleted. A short form of it is a test of its own, ``tests/faults/test_kill.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.faults.boundaries import BOUNDARIES
from tests.faults.test_kill import Pinger, Writer, settled, work

from benchmarks.ground import ROOT, ground, tree
from benchmarks.rows import Row, Tick, row
from benchmarks.sizes import Sizes
from penstock.core import lifecycle
from penstock.core.errors import PenstockError
from penstock.core.event import NEW_CONTENT
from penstock.core.lifecycle import RunEnd, StepEnd, data_of
from penstock.log.reader import Reader
from penstock.testing.installation import Installation

FAULTS = ROOT / "tests" / "faults"
TARGETS = ("engine", "zygote", "worker")
PAUSE_S = 0.15
VICTIM_S = 2.0
"""How long is waited for a zygote or a worker to be there, in seconds."""
OURS = ("results", "pings", ".penstock")
"""Folders in the storage whose files are results, not inputs."""


RUN_EVENTS = (
    lifecycle.RUN_STARTED,
    lifecycle.RUN_SUCCEEDED,
    lifecycle.RUN_FAILED,
    lifecycle.RUN_CANCELLED,
)


class Account(NamedTuple):
    """What the storage and the log say at the end; each entry names one case.

    Attributes:
        versions: How many contents of input files the log holds.
        lost: Files and acknowledged events without their effect.
        doubled: Events, runs and outputs that were told twice.
        failed: Runs that did not succeed.
    """

    versions: int
    lost: list[str]
    doubled: list[str]
    failed: list[str]


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of the kill test."""
    with ground() as place:
        campaign = _Campaign(place, sizes, tick)
        try:
            asyncio.run(campaign.run())
        finally:
            campaign.installation.kill()
        account = _account(campaign.installation, campaign.pinger)
    kills = sum(campaign.kills.values())
    yield row("kill.kills", kills, "kills", target=sizes.kills, holds=kills >= sizes.kills, **campaign.kills)
    yield row(
        "kill.versions", account.versions, "file versions", acknowledged=len(campaign.pinger.acknowledged)
    )
    for name, cases in (("lost", account.lost), ("doubled", account.doubled), ("failed", account.failed)):
        yield row(f"kill.{name}", len(cases), name, target=0, holds=not cases, cases=cases[:3])


class _Campaign:
    """Kills again and again.

    Args:
        home: Of the installation.
        sizes: How often, and how much is done to files meanwhile.
        tick: Told how far it is.
    """

    def __init__(self, home: Path, sizes: Sizes, tick: Tick) -> None:
        self.installation = Installation(home)
        self.writer = Writer(home / "files", sizes.seed)
        self.pinger = Pinger()
        self.kills: Counter[str] = Counter()
        self._sizes = sizes
        self._tick = tick

    async def run(self) -> None:
        """Kill, and let everything come to its end."""
        self.installation.start()
        await self.installation.deploy(self._definitions())
        boundaries = sorted(BOUNDARIES)
        rest = max(0, self._sizes.kills - len(boundaries))
        for number in range(rest):
            self._tick(f"{number}/{self._sizes.kills} kills")
            await self._kill(TARGETS[number % len(TARGETS)])
        for number, boundary in enumerate(boundaries):
            self._tick(f"{rest + number}/{self._sizes.kills} kills, {boundary}")
            await self._kill_at(boundary)
        await self._work()
        while self.pinger.pending is not None:
            await self.pinger.ping(self.installation)
        self._tick("settling")
        await settled(self.installation)
        self.installation.stop()

    def _definitions(self) -> Path:
        """Return the kill test's functions, made to try again: a killed worker fails its call."""
        text = (FAULTS / "functions.py").read_text()
        text = text.replace(
            "from penstock import Call, function", "from penstock import Call, Retry, function"
        )
        text = text.replace("@function(on=", "@function(retry=Retry(attempts=20, delay_s=0.01), on=")
        file = self.installation.home / "functions.py"
        file.write_text(text)
        return file

    async def _work(self) -> None:
        await work(self.installation, self.writer, self.pinger, self._sizes.acts)

    async def _kill(self, target: str) -> None:
        """Kill one process while files change."""
        working = asyncio.create_task(self._work())
        await asyncio.sleep(self.writer.chance.random() * PAUSE_S)
        victim = await self._victim(target)
        if victim is None:
            self.installation.kill()
            self.kills["engine"] += 1
            await working
            await self._start()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                self.kills[target] += 1
            await working

    async def _victim(self, target: str) -> int | None:
        """Return a process of this kind, as soon as there is one; None for the engine, or if none comes."""
        assert self.installation.process is not None
        engine, deadline = self.installation.process.pid, time.monotonic() + VICTIM_S
        while target != "engine" and time.monotonic() < deadline:
            _, *below = tree(engine)
            pids = [pid for pid in below if (_parent(pid) == engine) == (target == "zygote")]
            if pids:
                return self.writer.chance.choice(pids)
            await asyncio.sleep(0.01)
        return None

    async def _start(self) -> None:
        self.installation.start()
        async with self.installation.connected():
            pass

    async def _kill_at(self, boundary: str) -> None:
        """Let the engine kill itself at a boundary."""
        installation = self.installation
        installation.stop()
        command = [sys.executable, str(FAULTS / "boundaries.py"), str(installation.home), boundary, "3"]
        with open(installation.home / "engine.log", "ab") as log:
            installation.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(20):
            with contextlib.suppress(PenstockError):
                await self._work()
            if installation.process.poll() is not None:
                break
        if installation.process.wait(timeout=30) == -signal.SIGKILL:
            self.kills["at boundaries"] += 1
        await self._work()
        await self._start()


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def _account(installation: Installation, pinger: Pinger) -> Account:
    contents: Counter[str] = Counter()
    told: Counter[str] = Counter()
    history: defaultdict[str, list[str]] = defaultdict(list)
    failed = []
    for record in Reader(installation.places.state / "log" / "0").read(0):
        event = record.event
        if event.source.startswith("/storages/"):
            history[event.subject or ""].append(event.type)
        if event.type in NEW_CONTENT and (event.subject or "").endswith(".raw"):
            contents[f"content {event.subject} {event.id}"] += 1
        elif event.type in RUN_EVENTS:
            end = data_of(event, RunEnd)
            history[end.subject].append(f"{event.type} {end.error}".strip())
            if event.type != lifecycle.RUN_STARTED:
                told[f"end of run {end.run}"] += 1
            if event.type == lifecycle.RUN_FAILED:
                failed.append(f"{end.subject}: {end.error}")
        elif event.type == lifecycle.STEP_SUCCEEDED:
            told[f"output of run {data_of(event, StepEnd).run}"] += 1
    doubled = [name for name, count in (contents + told).items() if count > 1]
    return Account(len(contents), _lost(installation, pinger, history), doubled, failed)


def _lost(installation: Installation, pinger: Pinger, history: Mapping[str, list[str]]) -> list[str]:
    """Return what has no effect, with what the log says about it."""
    root, lost = installation.files, []
    for path in root.rglob("*.raw"):
        relative = path.relative_to(root)
        if relative.parts[0] in OURS:
            continue
        result = root / "results" / relative.parent / f"{path.stem}.sha256"
        wanted = hashlib.sha256(path.read_bytes()).hexdigest()
        if not result.exists() or result.read_text() != wanted:
            known = "; ".join(history.get(str(path), ["nothing"]))
            lost.append(f"{relative}: {'another' if result.exists() else 'no'} result; the log says: {known}")
    effects = {path.name for path in (root / "pings").glob("*")}
    return lost + [f"event {name}: no effect" for name in pinger.acknowledged if name not in effects]
