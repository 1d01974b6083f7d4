"""A disk that is really full, and a storage that really goes away, under a whole installation."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Unavailable
from penstock.state.reader import StateReader
from penstock.testing.installation import Installation
from tests.conftest import IN_CI
from tests.faults.test_kill import Pinger, check

HERE = Path(__file__).parent
FILES = 20
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MB of its own; it takes root to mount one."""
    home = tmp_path / "home"
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(home)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        message = f"a small file system cannot be mounted: {mounted.stderr.strip()}"
        if IN_CI and os.geteuid() == 0:
            pytest.fail(message)
        pytest.skip(message)
    yield home
    subprocess.run(["umount", "--lazy", str(home)], check=True)


def fill(ballast: Path) -> None:
    """Take all the room there is."""
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


async def until(installation: Installation, wanted: Any) -> dict[str, Any]:
    """Ask for the status until it is as wanted."""
    while True:
        status: dict[str, Any] = await installation.ask("status")
        if wanted(status):
            return status
        await asyncio.sleep(0.05)


def idle(status: dict[str, Any]) -> bool:
    return bool(status["runs"] == {"active": 0, "waiting": 0} and status["folded"] == status["log"]["end"])


def results(installation: Installation) -> int:
    return len(list((installation.files / "results").glob("*.sha256")))


async def test_a_full_disk_holds_events_back_says_so_and_recovers_without_hands(small_disk: Path) -> None:
    installation, pinger = Installation(small_disk), Pinger()
    installation.start()
    await installation.deploy(HERE / "functions.py")
    await pinger.ping(installation)
    for number in range(FILES):
        (installation.files / f".{number}.part").write_text(f"content {number}")
    await until(installation, idle)
    fill(small_disk / "ballast")
    for number in range(FILES):
        os.rename(installation.files / f".{number}.part", installation.files / f"{number}.raw")
    status = await until(installation, lambda status: status["troubles"])
    words = " ".join(status["troubles"].values())
    assert "full" in words or "No space left" in words
    assert "goes on by itself" in words
    large = {
        "specversion": "1.0",
        "id": "large",
        "source": "/test",
        "type": "test.large",
        "data": "x" * 10_000,
    }
    for _ in range(3):
        with pytest.raises(Unavailable, match="goes on by itself"):
            await installation.ask("ingest", events=[large])
    assert results(installation) < FILES
    (small_disk / "ballast").unlink()
    assert await installation.ask("ingest", events=[large]) == [{"id": "large", "new": True}]
    await pinger.ping(installation)
    while results(installation) < FILES:
        await asyncio.sleep(0.05)
    await until(installation, lambda status: idle(status) and not status["troubles"])
    assert installation.stop() == 0, installation.said()
    assert check(installation, pinger) == FILES


async def test_a_kill_on_a_full_disk_loses_nothing_either(small_disk: Path) -> None:
    installation, pinger = Installation(small_disk), Pinger()
    installation.start()
    await installation.deploy(HERE / "functions.py")
    for number in range(FILES):
        (installation.files / f".{number}.part").write_text(f"content {number}")
    await until(installation, idle)
    fill(small_disk / "ballast")
    for number in range(FILES):
        os.rename(installation.files / f".{number}.part", installation.files / f"{number}.raw")
    await until(installation, lambda status: status["troubles"])
    installation.kill()
    (small_disk / "ballast").unlink()
    installation.start()
    while results(installation) < FILES:
        await asyncio.sleep(0.05)
    await until(installation, idle)
    assert installation.stop() == 0, installation.said()
    assert check(installation, pinger) == FILES


async def test_an_output_folder_that_cannot_be_written_is_a_dead_letter_until_it_is_repaired(
    tmp_path: Path,
) -> None:
    installation = Installation(tmp_path)
    installation.start()
    await installation.deploy(HERE / "functions.py")
    (installation.files / "results").write_text("no folder")
    (installation.files / "a.raw").write_text("content")
    status = StateReader(installation.places.state / "state.db")
    letters: list[Any] = []
    while not letters:
        await asyncio.sleep(0.05)
        letters = await status.dead_letters("local", "open", None, 10)
    (letter,) = letters
    assert f"{installation.files}/results: not a folder" in letter.reason
    assert "run it again" in letter.reason
    (installation.files / "results").unlink()
    await installation.ask("replay-letter", id=letter.id)
    while results(installation) < 1:
        await asyncio.sleep(0.05)
    await status.close()
    assert installation.stop() == 0, installation.said()
