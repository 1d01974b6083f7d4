"""W2 and W3: a chain of five, a fork of 20 with join: from a file's close to the last step's end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from benchmarks.blocks import Block, latency_rows
from benchmarks.floor import floor
from benchmarks.ground import ground
from benchmarks.product import WORKERS, Done, Product, product
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.sizes import Sizes
from benchmarks.writer import write

STEP = """
import time
from penstock import function, workflow

@function
def step(call):
    begun = time.monotonic_ns()
    name = call["read"]["path"].rsplit("/", 1)[-1]
    if name.startswith("slow"):
        time.sleep(0.05)
    return {"name": name, "begun": begun, "ended": time.monotonic_ns()}

graph = workflow("graph", on="*.raw")
"""
CHAIN = (
    STEP
    + """
before = ()
for number in range(5):
    before = graph.step(step, name=f"step-{number}", after=before)
"""
)
FORK = (
    STEP
    + """
first = graph.step(step, name="first")
children = [graph.step(step, name=f"child-{number}", after=first) for number in range(20)]
graph.step(step, name="join", after=children)
"""
)
MOST = 3.0
"""Target of both: so many times the floor."""
AT_ONCE = 2
"""So many children of a fork have to run at the same moment at least."""


def chain(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of W2."""
    with ground() as place, product(place / "product", CHAIN) as running:
        yield from _rows("w2.chain_of_5", running, place, "1,1,1,1,1", sizes, tick)


def fork(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of W3."""
    with ground() as place, product(place / "product", FORK) as running:
        yield from _rows("w3.fork_of_20", running, place, "1,20,1", sizes, tick)
        yield _overlap_row(running)


def _rows(name: str, running: Product, place: Path, plan: str, sizes: Sizes, tick: Tick) -> Iterator[Row]:
    steps = sum(int(part) for part in plan.split(","))
    running.warm([f"warm-{number}.raw" for number in range(10)], steps)
    blocks = []
    for number in range(sizes.blocks):
        tick(f"{number}/{sizes.blocks} {sizes.graphs} runs")
        durable = _floor_block(place / str(number), plan, sizes)
        names = [f"{number}-{index}.raw" for index in range(sizes.graphs)]
        blocks.append(Block(durable=durable, product=_product_block(running, names, steps, sizes)))
    yield from latency_rows(name, blocks, MOST, None)


def _floor_block(home: Path, plan: str, sizes: Sizes) -> list[int]:
    with floor("graph", home, WORKERS, durable=True, plan=plan) as running:
        closed = write(running.files, [f"{index}.raw" for index in range(sizes.graphs)], sizes.graph_rate)
        stamps = running.finish()
    return [stamps[name].answered - at for name, at in closed.items()]


def _product_block(running: Product, names: list[str], steps: int, sizes: Sizes) -> list[int]:
    """Return, per file, the time until the end of its last step stood on the log."""
    apart = time.time_ns() - time.monotonic_ns()
    closed = write(running.files, names, sizes.graph_rate)
    done = _by_file(running.done(len(names) * steps))
    return [max(each.told_ns for each in done[name]) - apart - at for name, at in closed.items()]


def _by_file(done: list[Done]) -> dict[str, list[Done]]:
    def name(each: Done) -> str:
        return str(each.result["name"])

    return {key: list(group) for key, group in groupby(sorted(done, key=name), key=name)}


def _overlap_row(running: Product) -> Row:
    """Return how many children of one fork ran at the same moment; each sleeps a while."""
    write(running.files, ["slow.raw"])
    done = running.done(22)
    children = [each.result for each in done if each.step.startswith("child")]
    most = max(
        sum(other["begun"] <= child["begun"] < other["ended"] for other in children) for child in children
    )
    join = next(each.result for each in done if each.step == "join")
    if join["begun"] < max(child["ended"] for child in children):
        raise Failed("the join began before the last child had ended")
    return row("w3.children_at_once", most, "functions", target=AT_ONCE, holds=most >= AT_ONCE)
