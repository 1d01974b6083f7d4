"""What a test of a site writes, and sees from outside."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from penstock.state.postgres.door import PostgresDoor
from penstock.state.reader import RunQuery, StateReader
from tests.site.installation import SiteInstallation

COUNTED = """
from penstock import function

@function(on="*/*.raw", outputs="{parent}/done/{stem}.txt")
def counted(call):
    with open(call.input, "rb") as file:
        text = file.read().decode()
    call.output("x.txt").write_text(text + " " + call["run"]["id"])
    return {"size": len(text)}
"""


async def until(holds: Callable[[], Any], site: SiteInstallation, within_s: float = 60) -> Any:
    for _ in range(int(within_s / 0.1)):
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"it did not happen:\n{site.said()}")


def write(site: SiteInstallation, names: range) -> None:
    for number in names:
        folder = site.files / f"d{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}.raw").write_text(f"content {number}")


def results(site: SiteInstallation) -> Counter[str]:
    return Counter(path.stem for path in site.files.glob("*/done/*.txt"))


async def run_phases(site: SiteInstallation) -> Counter[str]:
    reader = StateReader(PostgresDoor(site.postgres))
    try:
        return Counter(row.phase for row in await reader.runs(RunQuery(tenant="local", limit=10_000)))
    finally:
        await reader.close()


async def all_succeeded(site: SiteInstallation, count: int) -> bool:
    return await run_phases(site) == {"succeeded": count}


def exact(site: SiteInstallation, count: int) -> None:
    """Each file has one result, with its content, by a run of its own."""
    contents = {path.stem: path.read_text() for path in site.files.glob("*/done/*.txt")}
    assert {name: text.split()[1] for name, text in contents.items()} == {
        f"f{n}": str(n) for n in range(count)
    }
    assert len({text.split()[2] for text in contents.values()}) == count
