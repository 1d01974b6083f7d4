"""What people do to a storage's folders, through a whole engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.rows import DeadLetter, Decision, FileState, Outcome, OutputRow
from penstock.testing.installation import Installation
from tests.journeys.test_workflows import SIMPLE, deploy, ended, rows, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running installation, with three results of files in ``day1``."""
    found = Installation(tmp_path)
    (found.files / "day1").mkdir()
    found.start()
    yield found
    found.kill()


async def filled(installation: Installation) -> None:
    for number in range(3):
        (installation.files / "day1" / f"{number}.txt").write_text("x" * number)
    await until(lambda: ended(installation, 3), installation)
    await until(lambda: len(known(installation, b".size")) == 3, installation)


def known(installation: Installation, suffix: bytes) -> list[FileState]:
    """Return what the ledger knows of files that are there."""
    return [row for row in rows(installation, FileState) if row.present and row.path.endswith(suffix)]


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_results_follow_a_renamed_folder(installation: Installation, running: bool) -> None:
    await deploy(installation, SIMPLE)
    await filled(installation)
    if not running:
        installation.stop()
    (installation.files / "day1").rename(installation.files / "day2")
    if not running:
        installation.start()
    runs = await until(lambda: ended(installation, 6), installation)
    assert [row.phase for row in runs] == ["succeeded"] * 6
    assert rows(installation, DeadLetter) == []
    assert sorted(path.name for path in (installation.files / "day2" / "derived").iterdir()) == [
        "0.size",
        "1.size",
        "2.size",
    ]
    outputs = {row.path: row.run for row in rows(installation, OutputRow) if b"/day2/" in row.path}
    assert len(set(outputs.values())) == 3


async def test_a_foreign_file_in_a_renamed_folder_is_refused(installation: Installation) -> None:
    await deploy(installation, SIMPLE)
    await filled(installation)
    result = installation.files / "day1" / "derived" / "1.size"
    result.unlink()
    result.write_text("by hand")
    (installation.files / "day1").rename(installation.files / "day2")
    await until(lambda: ended(installation, 6), installation)
    (letter,) = rows(installation, DeadLetter)
    assert "day2/derived/1.size exists and was not published by Penstock" in letter.reason
    assert (installation.files / "day2" / "derived" / "1.size").read_text() == "by hand"


async def test_a_moved_result_keeps_the_run_that_made_it(installation: Installation) -> None:
    """Else a workflow would start on its own outputs whenever their folder is renamed."""
    await deploy(installation, SIMPLE.replace('on="*.txt"', 'on="*"'))
    await filled(installation)
    (installation.files / "day1" / "derived").rename(installation.files / "derived2")
    await until(
        lambda: any(b"/derived2/" in row.path for row in known(installation, b"2.size")), installation
    )
    (installation.files / "last.txt").write_text("last")
    await until(lambda: ended(installation, 4), installation)
    decided = [row for row in rows(installation, Decision) if "/derived2/" in row.subject]
    assert [row.outcome for row in decided] == [Outcome.REFUSED] * 3
