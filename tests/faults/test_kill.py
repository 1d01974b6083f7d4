"""The promise under SIGKILL: no acknowledged event lost, no published output doubled, runs finish."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from penstock.core import lifecycle
from penstock.core.errors import PenstockError
from penstock.core.event import NEW_CONTENT, file_record
from penstock.core.lifecycle import RunEnd, StepEnd, data_of
from penstock.log.reader import Reader
from penstock.testing.installation import WHO, Installation
from tests.faults.boundaries import BOUNDARIES

HERE = Path(__file__).parent


class Writer:
    """Writes, rewrites, renames and deletes files, as long as it is let."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.count = 0
        self.names: list[str] = []

    def act(self) -> None:
        """Do one thing to one file; each content is unlike any other."""
        self.count += 1
        what = self.chance.random()
        if what < 0.7 or not self.names:
            self._write(f"d{self.chance.randrange(5)}/f{self.count}.raw")
        elif what < 0.85:
            self._write(self.chance.choice(self.names))
        elif what < 0.95:
            old = self.names.pop(self.chance.randrange(len(self.names)))
            new = f"{old.rsplit('.', 1)[0]}r.raw"
            os.rename(self.folder / old, self.folder / new)
            self.names.append(new)
        else:
            name = self.names.pop(self.chance.randrange(len(self.names)))
            (self.folder / name).unlink()

    def _write(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        hidden = self.chance.random() < 0.3
        target = path.with_name(f".{path.name}.part") if hidden else path
        target.write_text(f"{name} {self.count} " + "x" * self.chance.randrange(1000))
        if hidden:
            os.rename(target, path)
        if name not in self.names:
            self.names.append(name)


class Pinger:
    """Sends events from outside, and remembers which were acknowledged."""

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged: list[str] = []
        self.pending: str | None = None

    async def ping(self, installation: Installation) -> None:
        """Send one; the one whose answer was lost is sent again."""
        if self.pending is None:
            self.sent += 1
            self.pending = f"ping-{self.sent}"
        event = {"specversion": "1.0", "id": self.pending, "source": "/test", "type": "test.ping"}
        async with installation.connected() as client:
            await client.ask("ingest", {**WHO, "events": [event]})
        self.acknowledged.append(self.pending)
        self.pending = None


async def settled(installation: Installation) -> None:
    """Return when everything that is on disk has been worked on."""
    sentinel = installation.files / "sentinel.raw"
    sentinel.write_text(f"the last one {random.random()}")
    wanted = hashlib.sha256(sentinel.read_bytes()).hexdigest()
    result = installation.files / "results" / "sentinel.sha256"
    calm = 0
    while calm < 3:
        await asyncio.sleep(0.1)
        status = await installation.ask("status")
        idle = status["runs"] == {"active": 0, "waiting": 0} and status["folded"] == status["log"]["end"]
        calm = calm + 1 if idle and result.exists() and result.read_text() == wanted else 0


def check(installation: Installation, pinger: Pinger) -> int:
    """Assert the promise and return how many file versions there are."""
    files, root = 0, installation.files
    for path in root.rglob("*.raw"):
        relative = path.relative_to(root)
        if relative.parts[0] in ("results", "pings", ".penstock"):
            continue
        result = root / "results" / relative.parent / f"{path.stem}.sha256"
        assert result.exists(), f"{relative} has no result"
        assert result.read_text() == hashlib.sha256(path.read_bytes()).hexdigest(), (
            f"{relative}: stale result"
        )
        files += 1
    pings = {path.name: path.read_text() for path in (root / "pings").glob("*")}
    assert set(pings) >= set(pinger.acknowledged), "an acknowledged event had no effect"
    _check_log(installation)
    attempts = root / ".penstock" / "attempts"
    assert not attempts.exists() or not any(attempts.iterdir()), "an attempt was left behind"
    return files


def _check_log(installation: Installation) -> None:
    contents: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    outputs: Counter[tuple[str, str]] = Counter()
    for record in Reader(installation.places.state / "log" / "0").read(0):
        event = record.event
        if event.type in NEW_CONTENT:
            contents[event.id] += 1
            assert file_record(event).generation
        if event.type in (lifecycle.RUN_SUCCEEDED, lifecycle.RUN_FAILED):
            ended[data_of(event, RunEnd).run] += 1
            assert event.type == lifecycle.RUN_SUCCEEDED, data_of(event, RunEnd).error
        if event.type == lifecycle.STEP_SUCCEEDED:
            outputs[event.id, data_of(event, StepEnd).run] += 1
    assert not [key for key, count in contents.items() if count > 1], "one content was told twice"
    assert not [key for key, count in ended.items() if count > 1], "one run ended twice"
    assert not [key for key, count in outputs.items() if count > 1], "one output was told twice"


async def work(installation: Installation, writer: Writer, pinger: Pinger, acts: int) -> None:
    """Write and ping, with pauses in which things can happen."""
    for _ in range(acts):
        writer.act()
        if writer.chance.random() < 0.1:
            with contextlib.suppress(PenstockError):
                await pinger.ping(installation)
        await asyncio.sleep(writer.chance.random() * 0.004)


async def campaign(home: Path, kills: int, acts: int, seed: int) -> int:
    """Kill the engine ``kills`` times while files change, also while it is down; then check."""
    installation, writer, pinger = Installation(home), Writer(home / "files", seed), Pinger()
    installation.start()
    await installation.deploy(HERE / "functions.py")
    for _ in range(kills):
        working = asyncio.create_task(work(installation, writer, pinger, acts))
        await asyncio.sleep(writer.chance.random() * 0.5)
        installation.kill()
        await working
        installation.start()
        async with installation.connected():
            pass
    await work(installation, writer, pinger, acts)
    while pinger.pending is not None:
        await pinger.ping(installation)
    await settled(installation)
    assert installation.stop() == 0, installation.said()
    return check(installation, pinger)


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_event_is_lost_and_no_output_doubled_when_the_engine_is_killed(tmp_path: Path) -> None:
    assert await campaign(tmp_path, kills=8, acts=60, seed=1) > 100


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("boundary", sorted(BOUNDARIES))
async def test_a_kill_at_a_boundary_loses_and_doubles_nothing(tmp_path: Path, boundary: str) -> None:
    installation, writer, pinger = Installation(tmp_path), Writer(tmp_path / "files", 2), Pinger()
    installation.start()
    await installation.deploy(HERE / "functions.py")
    assert installation.stop() == 0, installation.said()
    command = [sys.executable, str(HERE / "boundaries.py"), str(tmp_path), boundary, "3"]
    with open(tmp_path / "engine.log", "ab") as log:
        installation.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})
    with contextlib.suppress(PenstockError):
        async with installation.connected():
            pass
    with contextlib.suppress(PenstockError):
        await work(installation, writer, pinger, 40)
    assert installation.process.wait(timeout=30) == -9, installation.said()
    await work(installation, writer, pinger, 10)
    installation.start()
    while pinger.pending is not None:
        await pinger.ping(installation)
    await settled(installation)
    assert installation.stop() == 0, installation.said()
    assert check(installation, pinger) > 10
