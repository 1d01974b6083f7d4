"""A back-test says what fires: it agrees with what really fired when the same log was followed live."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.core import lifecycle
from penstock.core.lifecycle import RunEnd, data_of
from penstock.log.reader import Reader
from penstock.testing.installation import Installation
from tests.journeys.seeing import runs

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
FUNCTION = """
from penstock import function

@function(on={on!r})
def tiffs(call):
    call.output("copy.tif").write_text("result")
    return {{}}
"""


def define(tmp_path: Path, on: str) -> Path:
    file = tmp_path / "tiffs.py"
    file.write_text(FUNCTION.format(on=on))
    return file


def backtest(installation: Installation, target: Path | str, *options: str) -> dict[str, Any]:
    """The command as a person gives it."""
    home = str(installation.home)
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "backtest", str(target), "--json", "--home", home, *options],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def began(installation: Installation) -> list[str]:
    """Subjects of the runs that really began, in the order of their events."""
    records = Reader(installation.places.state / "log" / "0").read(0)
    begun = [r.event for r in records if r.event.type == lifecycle.RUN_STARTED]
    return [data_of(event, RunEnd).subject for event in begun]


async def test_it_agrees_with_what_fired_without_a_server(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "home")
    installation.start()
    await installation.deploy(define(tmp_path, "**/*.tif"))
    (installation.files / "deep").mkdir()
    for name in ("a.tif", "b.dat", "deep/c.tif", "d.tif", "e.dat"):
        (installation.files / name).write_text(name)
    await runs(installation, 3)
    (installation.files / "a.tif").write_text("written anew")
    told = {
        "specversion": "1.0",
        "id": "x",
        "source": "/elsewhere",
        "type": "penstock.file.created",
        "subject": "/far/z.tif",
    }
    for _ in range(2):
        await installation.ask("ingest", events=[told])
    await runs(installation, 5)
    installation.stop()

    (fired,) = backtest(installation, "tiffs")["fired"]
    assert sorted(fired["first"]) == sorted(began(installation))
    assert (fired["runs"], fired["runs_now"], fired["added"], fired["removed"]) == (5, 5, 0, 0)
    assert fired["refused"] >= 3  # its own outputs are tiffs, too

    report = backtest(installation, define(tmp_path, "*.[td]a*"))
    (fired,) = report["fired"]
    assert (fired["added"], fired["removed"]) == (2, 5)
    assert [Path(each).name for each in fired["first_added"]] == ["b.dat", "e.dat"]
    assert sum(fired["hours"].values()) == fired["runs"] == 2
    assert report["costs"][fired["trigger"]]["runs"] == 5
    assert report["costs"][fired["trigger"]]["pool_s"] > 0
    assert began(installation) == began(installation)[:5]  # nothing was run, nothing deployed
    assert backtest(installation, "tiffs", "--until", "1999-01-01")["looked"] == 0


async def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "home")
    installation.start()
    await installation.ask("status")
    installation.stop()
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "backtest", "nothing", "--home", str(installation.home)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert b"no file and no trigger 'nothing'" in done.stderr
