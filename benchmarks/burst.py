"""A burst of files: functions a second against the bare floor, and the memory after a large one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.blocks import BLOCKS_LEAST, spread
from benchmarks.floor import floor
from benchmarks.ground import ground, memory_bytes, processor_s
from benchmarks.latency import DEFINITIONS
from benchmarks.product import WORKERS, Product, product
from benchmarks.rows import Row, Tick, row
from benchmarks.sizes import Sizes
from benchmarks.writer import write

RATIO_LEAST = 0.28
SAME_RATE = 0.9
"""The large burst's rate is the same if it is at least so many times the small one's."""
MEMORY_MOST = 1.1
LARGE_BLOCKS = 3


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of the burst."""
    with ground() as place, product(place / "product", DEFINITIONS) as running:
        running.warm([f"warm-{number}.raw" for number in range(100)], steps=1)
        bare, durable, ours, costs = [], [], [], []
        for number in range(sizes.blocks):
            tick(f"{number}/{sizes.blocks} {sizes.burst} files")
            bare.append(_floor_rate(place / f"bare-{number}", sizes.burst, durable=False))
            durable.append(_floor_rate(place / f"durable-{number}", sizes.burst, durable=True))
            begun = processor_s(running.pid)
            ours.append(_product_rate(running, f"small-{number}", sizes.burst))
            costs.append((processor_s(running.pid) - begun) / sizes.burst * 1e6)
        yield _rate_row(sizes, bare, durable, ours, median(costs))
        small_bytes = memory_bytes(running.pid)
        large = []
        for number in range(min(LARGE_BLOCKS, sizes.blocks)):
            tick(f"{number}/{LARGE_BLOCKS} {sizes.large_burst} files")
            large.append(_product_rate(running, f"large-{number}", sizes.large_burst))
        yield from _large_rows(sizes, median(ours), large, small_bytes, memory_bytes(running.pid))


def _floor_rate(home: Path, count: int, *, durable: bool) -> float:
    with floor("trigger", home, WORKERS, durable=durable) as running:
        begun = time.monotonic_ns()
        closed = write(running.files, [f"{number}.raw" for number in range(count)])
        stamps = running.finish()
    return count / (max(stamps[name].answered for name in closed) - begun) * 1e9


def _product_rate(running: Product, tag: str, count: int) -> float:
    """Return functions a second, from before the first file until the last answer stood on the log."""
    begun = time.time_ns()
    write(running.files, [f"{tag}-{number}.raw" for number in range(count)])
    return count / (max(each.told_ns for each in running.done(count)) - begun) * 1e9


def _rate_row(
    sizes: Sizes, bare: list[float], durable: list[float], ours: list[float], cost_us: float
) -> Row:
    ratios = [mine / floors for mine, floors in zip(ours, bare, strict=True)]
    enough = len(ratios) >= BLOCKS_LEAST
    return row(
        f"burst.{sizes.burst}",
        median(ours),
        "functions/s",
        floor=median(bare),
        ratio=median(ratios),
        target=RATIO_LEAST,
        holds=median(ratios) >= RATIO_LEAST if enough else None,
        spread=spread(ratios),
        blocks=len(ratios),
        durable_floor=median(durable),
        processor_us_per_file=cost_us,
        **({} if enough else {"note": f"fewer than {BLOCKS_LEAST} blocks"}),
    )


def _large_rows(
    sizes: Sizes, small_rate: float, rates: list[float], small_bytes: int, large_bytes: int
) -> Iterator[Row]:
    ratio = median(rates) / small_rate
    yield row(
        f"burst.{sizes.large_burst}",
        median(rates),
        "functions/s",
        floor=small_rate,
        ratio=ratio,
        target=SAME_RATE,
        holds=ratio >= SAME_RATE,
        spread=spread([rate / small_rate for rate in rates]),
        blocks=len(rates),
        note=f"the floor is the product's rate with {sizes.burst} files",
    )
    grown = large_bytes / small_bytes
    yield row(
        "burst.memory",
        large_bytes / 1e6,
        "MB",
        floor=small_bytes / 1e6,
        ratio=grown,
        target=MEMORY_MOST,
        holds=grown <= MEMORY_MOST,
        note=f"after bursts of {sizes.large_burst} and of {sizes.burst} files, all processes (PSS)",
    )
