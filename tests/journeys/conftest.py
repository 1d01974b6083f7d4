"""An installation that a journey begins with, and that is stopped behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.console import Console


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """Return a console in an empty folder; whatever it started is stopped."""
    work = tmp_path / "w"
    work.mkdir()
    console = Console(work, tmp_path / "h")
    yield console
    subprocess.run(console.command("stop"), env=console.environment, capture_output=True, timeout=60)
