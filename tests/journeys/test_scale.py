"""A map over the longest list there may be: bounded memory, order kept, also across a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.core.rows import AttemptRow, RunRow
from penstock.core.workflow import MAP_ITEMS_MAX
from penstock.testing.installation import Installation
from tests.journeys.seeing import deploy, result, rows, runs, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]
GROWTH_BYTES = 60 << 20
"""Most by which the engine may grow over such a run."""
MANY = """
from penstock import function, workflow

@function
def listing(call):
    return {"items": [number % 10 for number in range(call.data["size"])]}

@function
def plain(call):
    return {"v": call["run"]["item"], "digit": call.item}

each = workflow("many", on="*.txt")
items = each.step(listing)
each.step(plain, after=items, each="listing.items", window=256)
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running installation."""
    found = Installation(tmp_path)
    found.start()
    yield found
    found.kill()


def resident(installation: Installation) -> int:
    """Return the engine's memory, in bytes, without what it shares with files."""
    assert installation.process is not None
    status = Path(f"/proc/{installation.process.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) << 10


def write(installation: Installation, items: int) -> None:
    """Write a file as long as the list shall be."""
    (installation.files / f"{items}.txt").write_bytes(b"x" * items)


def check(run: RunRow, items: int) -> None:
    """Assert that each item has its result, in its place."""
    assert run.phase == "succeeded", run.error
    assert result(run, "plain") == [{"v": item, "digit": item % 10} for item in range(items)]


async def test_a_map_over_100_000_items_keeps_order_in_bounded_memory(installation: Installation) -> None:
    await deploy(installation, MANY)
    write(installation, 1000)
    await runs(installation, 1)
    before, most = resident(installation), 0
    write(installation, MAP_ITEMS_MAX)

    def over() -> list[RunRow]:
        nonlocal most
        most = max(most, resident(installation))
        return [row for row in ended_rows(installation) if row.subject.endswith(f"/{MAP_ITEMS_MAX}.txt")]

    found = await until(over, installation, within_s=300)
    check(found[0], MAP_ITEMS_MAX)
    assert most - before < GROWTH_BYTES, f"it grew by {(most - before) >> 20} MiB"


def ended_rows(installation: Installation) -> list[RunRow]:
    """Return ended runs without reading the many attempts."""
    return [row for row in rows(installation, RunRow) if row.ended_ns]


async def test_a_long_map_goes_on_where_it_was_when_the_engine_is_killed(installation: Installation) -> None:
    items = 20_000
    await deploy(installation, MANY)
    write(installation, items)
    for number in range(1, 4):
        wanted = number * 4000
        await until(lambda: len(rows(installation, AttemptRow)) > wanted, installation, 100)  # noqa: B023
        installation.kill()
        installation.start()
        await installation.ask("status")
    (run,) = await runs(installation, 1, within_s=200)
    check(run, items)
    attempts = [row for row in rows(installation, AttemptRow) if row.step == "plain"]
    assert sorted(row.item for row in attempts) == list(range(items))
    assert {row.attempt for row in attempts} == {1}
    assert {msgspec.json.decode(row.result)["v"] == row.item for row in attempts} == {True}


async def test_a_list_too_long_is_refused_in_words(installation: Installation) -> None:
    await deploy(installation, MANY)
    write(installation, MAP_ITEMS_MAX + 1)
    (run,) = await runs(installation, 1)
    assert run.phase == "failed"
    assert "a map takes at most 100,000" in run.error or "bytes" in run.error, run.error
