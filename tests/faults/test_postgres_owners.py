"""Owners of a partition are stopped, woken and killed at random, the database too: all is there, once.

Each owner reads how far the partition is folded and goes on from there, a row for each number; whatever
happens, the numbers come out without gap, each written once, by owners whose epochs never fall.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from penstock.core.rows import CursorRow, DeadLetter
from penstock.state.postgres.changes import changes
from penstock.state.postgres.session import connect
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from tests.servers.plugin import started
from tests.servers.postgres import Postgres

LIVES = 8
OWNER = """
import asyncio, sys
import msgspec
from penstock.core.errors import Fenced, Unavailable
from penstock.core.rows import CursorRow, DeadLetter
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState

async def main():
    settings = msgspec.json.decode(sys.argv[1], type=PostgresSettings)
    while True:
        try:
            state = await PostgresState.open(settings, 0)
            folded = state.get(CursorRow, "pump", 0)
            break
        except Unavailable:
            await asyncio.sleep(0.05)
    at = folded.offset if folded else 0
    print("began", state.epoch, at, flush=True)
    while True:
        epoch = f"{state.epoch:04}"
        state.put(DeadLetter(id=f"{at:08}", tenant="", kind="", subject=epoch, reason="", body=b""))
        at += 1
        state.put(CursorRow("pump", 0, at))
        while state.dirty:
            try:
                await state.commit()
            except Unavailable:
                await asyncio.sleep(0.02)
            except Fenced:
                print("fenced", flush=True)
                return

asyncio.run(main())
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres")
    started(server)
    yield server
    server.kill()


def begin(script: Path, settings: PostgresSettings) -> subprocess.Popen[str]:
    """Start an owner and return once it owns the partition."""
    command = [sys.executable, str(script), msgspec.json.encode(settings).decode()]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline().startswith("began")
    return owner


async def some_commits(settings: PostgresSettings, count: int) -> None:
    """Return once so many commits were told."""
    told = changes(settings)
    while count > 0:
        count -= len(await anext(told))
    await told.aclose()


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.timeout(120)
async def test_numbers_come_out_without_gap_and_once_whoever_is_stopped_woken_or_killed(
    own: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    settings = msgspec.structs.replace(own.fresh(), patience_s=2.0)
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    owners = [begin(script, settings)]
    stopped, databases = [], 0
    try:
        for _ in range(LIVES):
            await some_commits(settings, chance.randrange(3, 40))
            what = chance.choice(["kill", "stop", "leave", "database"])
            if what == "kill":
                owners[-1].kill()
            elif what == "stop":
                owners[-1].send_signal(signal.SIGSTOP)
                stopped.append(owners[-1])
            elif what == "database":
                databases += 1
                own.kill()
                await asyncio.to_thread(own.start)
            owners.append(await asyncio.to_thread(begin, script, settings))
            if stopped and chance.random() < 0.5:
                stopped.pop(0).send_signal(signal.SIGCONT)
        for owner in stopped:
            owner.send_signal(signal.SIGCONT)
        await some_commits(settings, 50)
        last = await PostgresState.open(settings, 0)
        ends = await asyncio.gather(*(asyncio.to_thread(owner.wait, 30) for owner in owners))
    finally:
        for owner in owners:
            with suppress(ProcessLookupError):
                owner.send_signal(signal.SIGCONT)
            owner.kill()
            owner.wait()
            if owner.stdout is not None:
                owner.stdout.close()
    assert set(ends) <= {0, -signal.SIGKILL}, "whoever was not killed was fenced, and left in order"
    folded = last.get(CursorRow, "pump", 0)
    assert folded is not None
    letters = last.select(DeadLetter)
    assert [letter.id for letter in letters] == [f"{number:08}" for number in range(folded.offset)]
    epochs = [letter.subject for letter in letters]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) > LIVES // 2
    with connect(settings, "count") as session:
        (row,) = session.execute("SELECT commits FROM partitions").fetchall()
        # A commit whose answer was lost is counted, and so is the next one, which finds that out.
        assert folded.offset <= row[0] <= folded.offset + databases
    last.close()
