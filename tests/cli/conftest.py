"""The command line in this process, against an API that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.cli import screen
from penstock.cli.main import run
from tests.client.fake_api import FakeApi, serving


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def objects(self) -> list[Any]:
        """Return what it said with ``--json``."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Said]


@pytest.fixture
def penstock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Return a function that runs a command line with a home of its own."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "h"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Said:
        screen.out.cache_clear()
        screen.notes.cache_clear()
        code = run(words)
        return Said(code, *capfd.readouterr())

    yield call
    screen.out.cache_clear()
    screen.notes.cache_clear()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    """Return an API for that home."""
    with serving(tmp_path / "h") as api:
        yield api
