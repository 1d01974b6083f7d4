"""The warm pool against a bare warm worker: one call at a time, bursts, the engine's own cost.

Run ``python -m benchmarks.pool``; it prints one JSON object a line. The floor is a forked process that
answers over a socket pair with the same parameters and the same JSON work: no sandbox, no log, no
outputs, no limits. Blocks of both take turns; figures are medians of the blocks.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from penstock.core.function import Function
from penstock.core.ports import Answer, Invocation
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings

BLOCKS, SINGLE, BURST = 5, 500, 4000
EVENT = {"id": "x" * 40, "data": {"path": "/data/" + "y" * 700}}
PARAMS = json.dumps({"event": EVENT, "run": {"id": "r"}}).encode()
SOURCE = "def empty(call):\n    return {}\n"


class Floor:
    """One bare warm worker."""

    def __init__(self) -> None:
        self.near, far = socket.socketpair()
        if os.fork() == 0:
            self.near.close()
            while message := far.recv(65536):
                json.loads(message)
                far.send(json.dumps({}).encode())
            os._exit(0)
        far.close()

    def call(self) -> None:
        """Send the parameters and wait for the answer."""
        self.near.send(PARAMS)
        self.near.recv(65536)


class Bench:
    """Calls an empty function through the pool and counts."""

    def __init__(self, folder: Path) -> None:
        (folder / "empty.py").write_text(SOURCE)
        self.pool = Pool(PoolSettings(scratch=str(folder / "s"), logs=str(folder / "l")), self.answered)
        self.folder = folder
        self.left = 0
        self.done = asyncio.Event()
        self.number = 0

    def function(self, version: int = 1) -> Function:
        """Return a version of the empty function; each has workers of its own."""
        code, entry = str(self.folder), "empty.py:empty"
        return Function(tenant="t", name="bench", version=version, code=code, entry=entry, concurrency=2)

    def answered(self, answer: Answer) -> None:
        """Count an answer."""
        assert answer.error is None, answer.error
        self.left -= 1
        if self.left == 0:
            self.done.set()

    async def calls(self, count: int, function: Function) -> None:
        """Start that many calls at once and wait for all answers."""
        self.left = count
        self.done.clear()
        for _ in range(count):
            self.number += 1
            self.pool.invoke(Invocation(key=str(self.number), function=function, params=PARAMS))
        await self.done.wait()


def row(name: str, value: float, unit: str, floor: float | None, target: float, *, at_most: bool) -> None:
    ratio = None if floor is None else round(value / floor, 2)
    holds = value <= target if at_most else value >= target
    rounded = None if floor is None else round(floor, 1)
    fields = {"name": name, "value": round(value, 1), "unit": unit, "floor": rounded, "ratio": ratio}
    print(json.dumps({**fields, "target": target, "holds": holds}), flush=True)


def percentiles(samples: list[float]) -> tuple[float, float]:
    ordered = sorted(samples)
    return ordered[len(ordered) // 2] * 1e6, ordered[len(ordered) * 99 // 100] * 1e6


async def one_at_a_time(bench: Bench, floor: Floor) -> None:
    function = bench.function()
    pool, bare = [], []
    for _ in range(BLOCKS):
        for _ in range(SINGLE):
            begin = time.perf_counter()
            await bench.calls(1, function)
            pool.append(time.perf_counter() - begin)
        for _ in range(SINGLE):
            begin = time.perf_counter()
            floor.call()
            bare.append(time.perf_counter() - begin)
    (p50, p99), (floor_p50, floor_p99) = percentiles(pool), percentiles(bare)
    row("pool_call_p50", p50, "us", floor_p50, 100, at_most=True)
    row("pool_call_p99", p99, "us", floor_p99, 500, at_most=True)


async def bursts(bench: Bench, floor: Floor) -> None:
    function = bench.function()
    rates, costs, bare = [], [], []
    for _ in range(BLOCKS):
        begin, cpu = time.perf_counter(), time.process_time()
        await bench.calls(BURST, function)
        rates.append(BURST / (time.perf_counter() - begin))
        costs.append((time.process_time() - cpu) / BURST * 1e6)
        begin = time.perf_counter()
        for _ in range(BURST):
            floor.call()
        bare.append(BURST / (time.perf_counter() - begin))
    row("pool_rate", statistics.median(rates), "calls/s", statistics.median(bare), 10_000, at_most=False)
    row("pool_engine_cpu", statistics.median(costs), "us/call", None, 40, at_most=True)


async def first_calls(bench: Bench) -> None:
    took = []
    for version in range(2, 12):
        begin = time.perf_counter()
        await bench.calls(1, bench.function(version))
        took.append((time.perf_counter() - begin) * 1000)
    row("pool_first_call", statistics.median(took), "ms", None, 50, at_most=True)


async def main() -> None:
    floor: Any = Floor()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        begin = time.perf_counter()
        await bench.calls(1, bench.function())
        row("pool_cold_start", (time.perf_counter() - begin) * 1000, "ms", None, 500, at_most=True)
        await bench.calls(BURST, bench.function())
        await one_at_a_time(bench, floor)
        await bursts(bench, floor)
        await first_calls(bench)
        await bench.pool.close()


if __name__ == "__main__":
    uvloop.run(main())
