"""Runs a floor: a program of ``floors/`` in a folder of its own, for one block."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.writer import write

FLOORS = Path(__file__).parent / "floors"
LAST = "end"
WARM = 8


class Stamp(NamedTuple):
    """When a file's function began and had answered, in nanoseconds of the monotonic clock."""

    begun: int
    answered: int


class Floor:
    """A running floor.

    Args:
        program: Name in ``floors/``, without its ending.
        home: Folder for its files and its log.
        workers: How many warm processes.
        durable: Whether each file is appended to a log and synced.
        plan: Calls of each stage, for ``graph``.
    """

    def __init__(self, program: str, home: Path, workers: int, *, durable: bool, plan: str = "") -> None:
        self.files = home / "files"
        self.files.mkdir(parents=True)
        arguments = [str(self.files), str(workers), *([str(home / "log")] if durable else [])]
        command = [sys.executable, str(FLOORS / f"{program}.py"), *arguments, *([plan] if plan else [])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        write(self.files, [f"warm-{number}" for number in range(WARM)], rate=200)

    def finish(self) -> dict[str, Stamp]:
        """End it and return what it did, by file name."""
        write(self.files, [LAST])
        said, _ = self.process.communicate(timeout=60)
        lines = (line.split() for line in said.splitlines())
        return {name: Stamp(int(begun), int(answered)) for name, begun, answered in lines}


@contextmanager
def floor(program: str, home: Path, workers: int, *, durable: bool, plan: str = "") -> Iterator[Floor]:
    """Run a floor; it is gone afterwards, whatever happens."""
    running = Floor(program, home, workers, durable=durable, plan=plan)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
