"""A whole engine whose disk is unmounted while a function works, and mounted again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.testing.installation import Installation
from tests.mounts import disk

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SLOW = """
import time

from penstock import Call, function


@function(on="*.raw", outputs="{root}/results/{stem}.{name}")
def slow(call: Call) -> dict[str, int]:
    call.output("x").write_bytes(call.open().read())
    path = call.input
    while path.exists() and not path.with_name("go").exists():  # a worker may see the disk for longer
        time.sleep(0.01)
    return {}
"""


async def until_trouble(installation: Installation, *words: str) -> dict[str, str]:
    """Return the troubles once one of them says all these words."""
    while True:
        troubles: dict[str, str] = (await installation.ask("status"))["troubles"]
        if any(all(word in why for word in words) for why in troubles.values()):
            return troubles
        await asyncio.sleep(0.05)


async def until_there(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_what_was_under_way_is_published_on_the_disk_when_it_is_back(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "home")
    with disk(installation.files, tmp_path / "kept") as mounted:
        (tmp_path / "slow.py").write_text(SLOW)
        installation.start()
        try:
            await installation.deploy(tmp_path / "slow.py")
            (installation.files / "a.raw").write_text("data")
            while not (await installation.ask("status"))["in_flight"]:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)  # until it has read its input; earlier it would fail, and be tried again
            mounted.unmount()
            (mounted.inside / "go").touch()
            await until_trouble(installation, "storage local is not what it was")
            assert list(installation.files.iterdir()) == []
            mounted.mount()
            await until_there(mounted.inside / "results" / "a.x")
            assert (mounted.inside / "results" / "a.x").read_text() == "data"
            while (await installation.ask("status"))["troubles"]:
                await asyncio.sleep(0.05)
            (installation.files / "b.raw").write_text("more")  # and the source goes on, too
            await until_there(mounted.inside / "results" / "b.x")
        finally:
            installation.kill()
        mounted.unmount()
        assert list(installation.files.iterdir()) == []
