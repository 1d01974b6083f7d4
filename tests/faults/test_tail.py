"""The promise when the power is cut: what was not synced is gone, and nothing acknowledged with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.errors import PenstockError
from penstock.testing.installation import Installation
from tests.faults.boundaries import BOUNDARIES
from tests.faults.power import lose
from tests.faults.test_kill import Pinger, Writer, check, settled, work

HERE = Path(__file__).parent
CUTS = 4


async def until_cut(
    installation: Installation, boundary: str, count: int, writer: Writer, pinger: Pinger
) -> None:
    """Run an engine until its power is cut at a boundary, while files and pings come in."""
    (installation.home / "power.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.faults.power", str(installation.home), boundary, str(count)]
    with open(installation.home / "engine.log", "ab") as log:
        installation.process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ, cwd=HERE.parent.parent
        )
    process = installation.process
    while process.poll() is None:
        with contextlib.suppress(PenstockError):
            await work(installation, writer, pinger, 20)
        await asyncio.sleep(0)
    assert process.returncode == -9, installation.said()


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(4))
async def test_cutting_off_what_was_not_synced_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    installation, writer, pinger = Installation(tmp_path), Writer(tmp_path / "files", seed), Pinger()
    installation.start()
    await installation.deploy(HERE / "functions.py")
    assert installation.stop() == 0, installation.said()
    lost = 0
    for _ in range(CUTS):
        boundary = chance.choice(sorted(BOUNDARIES))
        await until_cut(installation, boundary, chance.randrange(2, 25), writer, pinger)
        lost += lose(tmp_path, chance)
        for _ in range(5):
            writer.act()
    assert lost > 0
    installation.start()
    while pinger.pending is not None:
        await pinger.ping(installation)
    await settled(installation)
    assert installation.stop() == 0, installation.said()
    assert check(installation, pinger) > 10
