"""Runs Penstock with its default settings in a folder, and reads from its log what it did."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.rows import Failed
from benchmarks.writer import write
from penstock.core import lifecycle
from penstock.core.lifecycle import StepEnd, data_of
from penstock.functions.settings import CORES
from penstock.log.reader import Reader
from penstock.testing.installation import Installation

WORKERS = CORES
"""The floors get as many workers as the pool forks for short calls: one per core."""
WAIT_S = 60.0
LOOK_S = 0.05


class Done(NamedTuple):
    """A step that has succeeded.

    Attributes:
        step: Its name.
        result: What the function answered.
        told_ns: When its end was appended to the log, in POSIX nanoseconds.
    """

    step: str
    result: dict[str, Any]
    told_ns: int


class Product:
    """A running installation.

    Args:
        home: Everything is below it.
        definitions: Text of the Python file to deploy.
    """

    def __init__(self, home: Path, definitions: str) -> None:
        self.installation = Installation(home)
        self.installation.start()
        self.files = self.installation.files
        file = home / "definitions.py"
        file.write_text(definitions)
        asyncio.run(self.installation.deploy(file))
        self._reader = Reader(self.installation.places.state / "log" / "0")
        self._offset = 0

    @property
    def pid(self) -> int:
        """The engine's process."""
        assert self.installation.process is not None
        return self.installation.process.pid

    def wait_calm(self, within_s: float = WAIT_S) -> None:
        """Return when the log has grown no more for a while.

        Its size is looked at, not its content, so that waiting costs what is measured next to nothing.
        """
        deadline, same, before = time.monotonic() + within_s, 0, -1
        while same < 6:
            if time.monotonic() > deadline:
                raise Failed(f"it is not done after {within_s:.0f} s; it said:\n{self.installation.said()}")
            time.sleep(LOOK_S)
            size = sum(path.stat().st_size for path in self._reader.folder.iterdir())
            same, before = (same + 1 if size == before else 0), size

    def done(self, count: int) -> list[Done]:
        """Wait for ``count`` steps since the last call and return them.

        Raises:
            Failed: There are fewer, or more, or one failed.
        """
        self.wait_calm()
        found = []
        for record in self._reader.read(self._offset):
            self._offset = record.offset + 1
            kind = record.event.type
            if kind in (lifecycle.STEP_FAILED, lifecycle.RUN_FAILED):
                raise Failed(f"{kind}: {record.event.data!r}")
            if kind == lifecycle.STEP_SUCCEEDED:
                end = data_of(record.event, StepEnd)
                found.append(Done(end.step, msgspec.json.decode(end.result), record.appended_ns))
        if len(found) != count:
            names = Counter(each.result.get("name") for each in found).most_common(3)
            raise Failed(f"{count} calls were expected, {len(found)} were made; most often for {names}")
        return found

    def warm(self, names: list[str], steps: int) -> None:
        """Have it work on some files that do not count."""
        write(self.files, names)
        self.done(len(names) * steps)


@contextmanager
def product(home: Path, definitions: str) -> Iterator[Product]:
    """Run Penstock; it is gone afterwards, whatever happens.

    Raises:
        Failed: It did not end well.
    """
    running = Product(home, definitions)
    try:
        yield running
        code = running.installation.stop()
        if code != 0:
            raise Failed(f"the engine ended with {code}; it said:\n{running.installation.said()}")
    finally:
        running.installation.kill()
