"""A dCache that is followed by an engine which is killed: each content has one run, none is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from penstock.core import lifecycle
from penstock.core.event import FILE_CREATED, content_id
from penstock.core.lifecycle import RunEnd, data_of
from penstock.log.reader import Reader
from penstock.testing.dcache.site import SimulatedDCache
from penstock.testing.installation import Installation

RAW = "/pnfs/p11/raw"
SETTINGS = """
[[sources]]
kind = "dcache-sse"
name = "events"
storage = "far"
frontend = "{address}"
token = {{ file = "{token}" }}
folders = ["/p11/raw"]
"""
KILLS = 4
WRITES = 40


async def idle(installation: Installation, runs: int) -> None:
    """Return when so many runs have ended, and nothing is under way."""
    calm = 0
    while calm < 3:
        await asyncio.sleep(0.1)
        status = await installation.ask("status")
        resting = status["runs"] == {"active": 0, "waiting": 0} and status["folded"] == status["log"]["end"]
        calm = calm + 1 if resting and len(ended(installation)) >= runs else 0


def ended(installation: Installation) -> Counter[str]:
    """Return how often each run has succeeded, by its id."""
    found: Counter[str] = Counter()
    for record in Reader(installation.places.state / "log" / "0").read(0):
        if record.event.type == lifecycle.RUN_SUCCEEDED:
            found[data_of(record.event, RunEnd).run] += 1
    return found


def contents(installation: Installation) -> set[str]:
    """Return the ids of what was told to be new."""
    records = Reader(installation.places.state / "log" / "0").read(0)
    return {
        each.event.id for each in records
        if each.event.type == FILE_CREATED and each.event.source == "/storages/far"
    }  # fmt: skip


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_each_content_has_one_run_when_engine_and_stream_are_killed(tmp_path: Path) -> None:
    chance = Random(3)
    token = tmp_path / "token"
    token.write_text("token")
    wanted: set[str] = set()
    async with SimulatedDCache(root="/pnfs") as dcache:
        dcache.make_folder(RAW)
        installation = Installation(tmp_path / "home")
        with installation.places.config.open("a") as config:
            config.write(SETTINGS.format(address=dcache.frontend.address, token=token))
        installation.start()
        await installation.deploy(Path(__file__).parent / "dcache_functions.py")

        async def write() -> None:
            for _ in range(WRITES):
                folder = f"{RAW}/{chance.randrange(4)}"
                dcache.make_folder(folder)
                entry = dcache.write(f"{folder}/{len(wanted)}", 1 + len(wanted))
                wanted.add(content_id("far", entry.path.encode(), entry.pnfsid))
                await asyncio.sleep(chance.random() * 0.01)

        await idle(installation, 0)
        while not dcache.frontend.calls or not any("children" in call for call in dcache.frontend.calls):
            await asyncio.sleep(0.02)
        for life in range(KILLS):
            writing = asyncio.create_task(write())
            await asyncio.sleep(chance.random() * 0.4)
            installation.kill()
            if life % 2:
                dcache.frontend.disconnect()
            await writing
            installation.start()
            async with installation.connected():
                pass
        await write()
        await idle(installation, len(wanted))
        assert installation.stop() == 0, installation.said()
    assert contents(installation) == wanted
    runs = ended(installation)
    assert len(runs) == len(wanted)
    assert set(runs.values()) == {1}
