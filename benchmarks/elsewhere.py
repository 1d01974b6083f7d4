"""Benchmarks that are programs of their own: W4 (routing), the pool, neighbours. Their rows are passed on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.ground import ROOT
from benchmarks.routing import COMPARED, SIZES
from benchmarks.rows import Failed, Row, Tick
from benchmarks.sizes import Sizes


def routing(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of W4."""
    tick("some minutes")
    chosen = [str(size) for size in SIZES if size <= sizes.filters]
    without = [] if sizes.filters >= COMPARED[0] else ["--without-ruler"]
    yield from _rows("benchmarks.routing", "--json", *without, "--sizes", *chosen)


def pool(_sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of the warm pool alone."""
    tick("calls without log and files")
    yield from _rows("benchmarks.pool")


def neighbours(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of a function beside hostile ones."""
    tick("a minute for each of seven kinds")
    yield from _rows(
        "benchmarks.neighbours", "--blocks", str(sizes.blocks), "--samples", str(sizes.neighbours)
    )


def _rows(module: str, *arguments: str) -> Iterator[Row]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode != 0:
        raise Failed(f"{module} ended with {process.returncode}")
