"""Durable before visible, as the kernel saw it: no call and no acknowledgement before its event's sync."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core import lifecycle
from penstock.log.reader import Reader
from penstock.testing.installation import WHO, Installation
from tests.conftest import need
from tests.faults.trace import STRACE, Told, check

HERE = Path(__file__).parent
FILES, PINGS = 30, 20


async def traced(home: Path, mutation: str) -> dict[str, Told]:
    """Let files and pings go through an engine under strace; return what became of each of their events."""
    strace = need("strace", "strace")
    installation = Installation(home)
    installation.start()
    await installation.deploy(HERE / "functions.py")
    assert installation.stop() == 0, installation.said()
    command = [
        strace,
        *STRACE,
        "-o",
        str(home / "trace"),
        sys.executable,
        str(HERE / "mutations.py"),
        str(home),
    ]
    with open(home / "engine.log", "ab") as log:
        installation.process = subprocess.Popen([*command, mutation], stdout=log, stderr=log, env=os.environ)
    async with installation.connected() as client:
        for number in range(FILES):
            (installation.files / f"{number}.raw").write_text(f"{number}")
            if number < PINGS:
                event = {"specversion": "1.0", "id": f"ping-{number}", "source": "/test", "type": "test.ping"}
                await client.ask("ingest", {**WHO, "events": [event]})
        while await _unfinished(installation):
            await asyncio.sleep(0.05)
    assert installation.stop() == 0, installation.said()
    outside = {
        record.event.id
        for record in Reader(installation.places.state / "log" / "0").read(0)
        if record.event.source != lifecycle.SOURCE
    }
    told = check(home / "trace")
    return {name: told[name] for name in outside}


async def _unfinished(installation: Installation) -> bool:
    results = len(list(installation.files.glob("results/*"))) + len(list(installation.files.glob("pings/*")))
    status = await installation.ask("status")
    return results < FILES + PINGS or status["runs"] != {"active": 0, "waiting": 0}


@pytest.mark.anyio
@pytest.mark.slow
async def test_nothing_is_called_or_acknowledged_before_its_event_is_synced(tmp_path: Path) -> None:
    told = await traced(tmp_path, "none")
    assert len(told) >= 2 * (FILES + PINGS) - PINGS  # each file, each ping, each output's own event
    assert all(event.written and event.durable for event in told.values())
    pings = [event for name, event in told.items() if name.startswith("ping-")]
    assert [event.sent for event in pings] == [2] * PINGS  # once to a worker, once acknowledged
    assert sum(event.sent > 0 for event in told.values()) == FILES + PINGS
    assert {name: event for name, event in told.items() if event.early} == {}


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("mutation", ["no-sync", "late-sync"])
async def test_the_check_notices_an_engine_that_does_not_sync_first(tmp_path: Path, mutation: str) -> None:
    told = await traced(tmp_path, mutation)
    early = [name for name, event in told.items() if event.early]
    assert len(early) > FILES / 2


def test_the_check_follows_calls_that_overlap(tmp_path: Path) -> None:
    segment, ping = "/log/0.segment", r"{\"id\":\"ping\"}"
    begun = [
        f'1 write(3<{segment}>, "xx{ping}", 20) = 20',
        f"2 fdatasync(9<{segment}> <unfinished ...>",
        rf'1 sendto(4<socket:[7]>, "{ping}", 20, 0, NULL, 0 <unfinished ...>',
        "2 <... fdatasync resumed>) = 0",
        "1 <... sendto resumed>) = 20",
    ]
    (tmp_path / "early").write_text("\n".join(begun))
    assert check(tmp_path / "early") == {"ping": Told(written=True, durable=True, sent=1, early=1)}
    (tmp_path / "right").write_text("\n".join([*begun[:2], begun[3], begun[2], begun[4]]))
    assert check(tmp_path / "right") == {"ping": Told(written=True, durable=True, sent=1, early=0)}
    before = [begun[1], begun[0], begun[3], begun[2], begun[4]]  # the sync began before the write
    (tmp_path / "before").write_text("\n".join(before))
    assert check(tmp_path / "before") == {"ping": Told(written=True, durable=False, sent=1, early=1)}
    failed = [line.replace("resumed>) = 0", "resumed>) = -1 EIO (Input/output error)") for line in begun]
    (tmp_path / "failed").write_text("\n".join([failed[0], failed[1], failed[3], failed[2], failed[4]]))
    assert check(tmp_path / "failed") == {"ping": Told(written=True, durable=False, sent=1, early=1)}
