"""A whole installation that is killed while it makes a loss good."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.event import FILE_CREATED, FILE_DELETED
from penstock.core.rows import TreeRow
from penstock.log.reader import Reader
from penstock.state.reader import StateReader
from penstock.testing.installation import Installation

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]
FILES = 6000
SETTINGS = """
[reconcile]
files_per_s = {pace}

[[sources]]
kind = "xrootd-notify"
name = "door"
storage = "xrd"
spool = "{home}/spool"
mounted = {{ folder = "{home}/xrd", path = "/data", settle_s = 0 }}
"""


def prepared(home: Path) -> Installation:
    (home / "spool").mkdir(parents=True)
    (home / "spool" / "00000000000000000001.notices").write_bytes(b"1 ! start\n")
    (home / "xrd").mkdir()
    installation = Installation(home)
    set_pace(installation, 2000)
    return installation


def set_pace(installation: Installation, pace: int) -> None:
    text = installation.places.config.read_text().partition("\n[reconcile]")[0]
    installation.places.config.write_text(text + SETTINGS.format(home=installation.home, pace=pace))


async def tree(installation: Installation, holds: Any) -> TreeRow:
    """Return the tree as soon as it is as wanted; what a reader sees lags behind."""
    reader = StateReader(installation.places.state / "state.db")
    try:
        async with asyncio.timeout(60):
            while True:
                for row in await reader.trees():
                    if row.storage == "xrd" and row.folder == b"/data" and holds(row):
                        return row
                await asyncio.sleep(0.02)
    finally:
        await reader.close()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = prepared(tmp_path / "home")
    yield made
    made.kill()


async def test_a_kill_in_the_middle_forgets_no_loss_and_doubles_nothing(installation: Installation) -> None:
    installation.start()
    await installation.ask("status")
    await tree(installation, lambda row: row.since_ns)
    folder = installation.home / "xrd"
    for number in range(FILES):
        place = folder / f"d{number // 1000}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_text("x")
    await installation.ask("reconcile", storage="xrd")
    row = await tree(installation, lambda row: row.lost_ns and row.created)
    assert 0 < row.created < FILES
    installation.kill()
    set_pace(installation, 1_000_000)
    installation.start()
    row = await tree(installation, lambda row: row.proven_ns and not row.lost_ns)
    assert row.listed == FILES
    assert told(installation)[FILE_CREATED] == FILES
    for number in range(0, FILES, 100):
        (folder / f"d{number // 1000}" / f"f{number}").unlink()
    before = row.proven_ns
    await installation.ask("reconcile", storage="xrd")
    row = await tree(installation, lambda row: row.proven_ns > before and not row.lost_ns)
    assert (row.created, row.deleted) == (0, FILES // 100)
    assert told(installation) == {FILE_CREATED: FILES, FILE_DELETED: FILES // 100}
    assert installation.stop() == 0


def told(installation: Installation) -> Counter[str]:
    """Return how many different files each kind of event was told of; none of them twice."""
    reader = Reader(installation.places.state / "log" / "0")
    ids: list[str] = []
    kinds: Counter[str] = Counter()
    for record in reader.read(0):
        if record.event.source == "/storages/xrd":
            ids.append(record.event.id)
            kinds[record.event.type] += 1
    reader.close()
    assert len(ids) == len(set(ids))
    return kinds
