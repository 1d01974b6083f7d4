"""W1: from a file's close to the first line of its function, one at a time, at 200 and 2 files a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.blocks import Block, latency_rows
from benchmarks.floor import floor
from benchmarks.ground import ground
from benchmarks.product import WORKERS, Done, Product, product
from benchmarks.rows import Failed, Row, Tick
from benchmarks.sizes import Sizes
from benchmarks.writer import write

DEFINITIONS = """
import time
from penstock import function

@function(on="*.raw")
def stamp(call):
    begun = time.monotonic_ns()
    return {"begun": begun, "name": call["read"]["path"].rsplit("/", 1)[-1]}
"""
HELD, HELD_S = 3, 0.02
"""Files that stay open for a while before each block of the product: nothing may start meanwhile."""
P50_MOST, P99_MOST = 2.0, 5.0


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of W1."""
    with ground() as place, product(place / "product", DEFINITIONS) as running:
        running.warm([f"warm-{number}.raw" for number in range(20)], steps=1)
        for rate, count in ((200, sizes.fast), (2, sizes.slow)):
            blocks = []
            for number in range(sizes.blocks):
                tick(f"{number}/{sizes.blocks} {rate} files/s")
                home = place / f"{rate}-{number}"
                bare = _floor_block(home / "bare", rate, count, durable=False)
                durable = _floor_block(home / "durable", rate, count, durable=True)
                ours = _product_block(running, f"{rate}-{number}", rate, count)
                blocks.append(Block(bare=bare, durable=durable, product=ours))
            yield from latency_rows(f"w1.{rate}_per_s", blocks, P50_MOST, P99_MOST)


def _floor_block(home: Path, rate: int, count: int, *, durable: bool) -> list[int]:
    with floor("trigger", home, WORKERS, durable=durable) as running:
        closed = write(running.files, [f"{number}.raw" for number in range(count)], rate)
        stamps = running.finish()
    return [stamps[name].begun - at for name, at in closed.items()]


def _product_block(running: Product, tag: str, rate: int, count: int) -> list[int]:
    held = write(running.files, [f"{tag}-held-{number}.raw" for number in range(HELD)], open_s=HELD_S)
    _begun(held, running.done(HELD))
    closed = write(running.files, [f"{tag}-{number}.raw" for number in range(count)], rate)
    begun = _begun(closed, running.done(count))
    return [begun[name] - at for name, at in closed.items()]


def _begun(closed: Mapping[str, int], done: list[Done]) -> dict[str, int]:
    """Return when each file's function began.

    Raises:
        Failed: One began before its file was closed, or a file has not exactly one run.
    """
    runs = Counter(each.result["name"] for each in done)
    wrong = [name for name in closed if runs[name] != 1]
    if wrong or len(runs) != len(closed):
        raise Failed(f"{wrong[0] if wrong else set(runs) - set(closed)} had not exactly one run")
    begun = {each.result["name"]: int(each.result["begun"]) for each in done}
    early = [name for name, at in closed.items() if begun[name] < at]
    if early:
        raise Failed(f"the function of {early[0]} began before the file was closed")
    return begun
