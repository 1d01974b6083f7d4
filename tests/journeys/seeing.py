"""What a journey sees of an installation from outside: committed rows, the log, processes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from penstock.core.rows import AttemptRow, Row, RunRow
from penstock.state.making import make
from penstock.state.tables import TABLES
from penstock.testing.installation import Installation

R = TypeVar("R", bound=Row)
LOOK_S = 0.05
WITHIN_S = 40.0


def rows(installation: Installation, kind: type[R]) -> list[R]:
    """Return what is committed of one kind of rows."""
    database = sqlite3.connect(f"file:{installation.places.state / 'state.db'}?mode=ro", uri=True)
    try:
        found = database.execute(f"SELECT * FROM {TABLES[kind].name}").fetchall()
    finally:
        database.close()
    return [make(kind, row) for row in found]


async def until(holds: Callable[[], Any], installation: Installation, within_s: float = WITHIN_S) -> Any:
    """Return what ``holds`` returns as soon as it is true."""
    for _ in range(int(within_s / LOOK_S)):
        found = holds()
        if found:
            return found
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"it did not happen; the engine said:\n{installation.said()}")


def ended(installation: Installation, count: int) -> list[RunRow]:
    """Return the ended runs, if there are ``count``."""
    found = [row for row in rows(installation, RunRow) if row.ended_ns]
    return found if len(found) == count else []


async def runs(installation: Installation, count: int, within_s: float = WITHIN_S) -> list[RunRow]:
    """Wait for ``count`` ended runs and return them, the one started first at the beginning."""
    found = await until(lambda: ended(installation, count), installation, within_s)
    return sorted(found, key=lambda row: row.started_ns)


def begun(installation: Installation, step: str, count: int = 1) -> list[AttemptRow]:
    """Return the attempts of a step that are under way, if there are ``count``."""
    found = [row for row in rows(installation, AttemptRow) if row.step == step and row.phase == "running"]
    return found if len(found) >= count else []


def result(run: RunRow, step: str) -> Any:
    """Return what a step of a run answered."""
    return json.loads(run.snapshot)["steps"][step].get("result")


async def deploy(installation: Installation, text: str, name: str = "functions.py", **options: Any) -> Any:
    """Deploy a file with this text."""
    file = installation.home / name
    file.write_text(text)
    return await installation.deploy(file, **options)


def processes(installation: Installation) -> dict[int, str]:
    """Return the command lines of living processes that know of the installation's home."""
    home, found = str(installation.home).encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            stopped = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if home in known and not stopped:
            found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found
