"""A function's latency while others misbehave beside it, against its own latency before.

Run ``python -m benchmarks.neighbours``; it prints one JSON object a line. Files are written at a steady
pace; what counts is the time from a file's close to the first line of its function. Calm blocks and
blocks with one kind of hostile function, called again and again, take turns.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.blocks import CALM, percentile, spread
from benchmarks.ground import ROOT, ground
from benchmarks.rows import Failed, Row, row
from penstock.core import lifecycle
from penstock.core.lifecycle import StepEnd, data_of
from penstock.log.reader import Reader
from penstock.server.channel import ChannelClient
from penstock.testing.installation import WHO, Installation

HOSTILE = ROOT / "tests" / "journeys" / "hostile.py"
KINDS = ("loop", "ignore-signals", "fork-bomb", "allocate", "allocate-in-children", "escape", "print-much")
TICK = """
import time
from penstock import function

@function(on="*.tick")
def tick(call):
    began = time.time_ns()
    return {"began": began, "name": call.input.name}
"""
BLOCKS, SAMPLES, PACE_S = 5, 400, 0.01
MOST = 1.5
"""Target: so many times the p99 of before."""
WAIT_S = 60.0
CALM_BLOCKS_LEAST = 3


class Neighbour:
    """A well-behaved function that is called at a steady pace."""

    def __init__(self, installation: Installation) -> None:
        self._files = installation.files
        self._reader = Reader(installation.places.state / "log" / "0")
        self._offset = 0
        self._numbers = itertools.count()

    async def block(self, samples: int) -> list[float]:
        """Write ``samples`` files and return the latency of each, in milliseconds."""
        written, found = {}, dict[str, int]()
        due = time.monotonic()
        for _ in range(samples):
            name = f"{next(self._numbers)}.tick"
            (self._files / name).write_bytes(b"x")
            written[name] = time.time_ns()
            due += PACE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        deadline = time.monotonic() + WAIT_S
        while len(found) < samples:
            found |= self._told()
            if time.monotonic() > deadline:
                raise Failed(f"{samples - len(found)} of {samples} files did not come to their function")
            await asyncio.sleep(0.05)
        return [(found[name] - ended) / 1e6 for name, ended in written.items()]

    def _told(self) -> dict[str, int]:
        found = {}
        for record in self._reader.read(self._offset):
            self._offset = record.offset + 1
            if record.event.type == lifecycle.STEP_SUCCEEDED:
                end = data_of(record.event, StepEnd)
                if end.step == "tick":
                    answer = msgspec.json.decode(end.result)
                    found[answer["name"]] = answer["began"]
        return found


@asynccontextmanager
async def beside(client: ChannelClient, kind: str) -> AsyncIterator[None]:
    """Start hostile functions of one kind, a new one each half a second."""

    async def starting() -> None:
        while True:
            await client.ask("start", {**WHO, "workflow": f"local/{kind}"})
            await asyncio.sleep(0.5)

    task = asyncio.create_task(starting())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await calm(client)


async def calm(client: ChannelClient) -> None:
    """Return when no run is under way."""
    deadline = time.monotonic() + WAIT_S
    while True:
        status = await client.ask("status", WHO)
        if status["runs"] == {"active": 0, "waiting": 0} and not status["in_flight"]:
            return
        if time.monotonic() > deadline:
            raise Failed(f"hostile functions do not end: {status}")
        await asyncio.sleep(0.05)


async def measure(installation: Installation, kinds: tuple[str, ...], samples: int) -> AsyncIterator[Row]:
    """Yield two rows for each kind of hostile function."""
    neighbour = Neighbour(installation)
    async with installation.connected() as client:
        await neighbour.block(samples)
        for kind in kinds:
            pairs = []
            for _ in range(BLOCKS):
                before = await neighbour.block(samples)
                async with beside(client, kind):
                    during = await neighbour.block(samples)
                pairs.append((before, during))
            for percent in (50, 99):
                yield _row(kind, percent, pairs)


def _row(kind: str, percent: int, pairs: list[tuple[list[float], list[float]]]) -> Row:
    quiet = [pair for pair in pairs if percentile(pair[0], 99) < CALM * percentile(pair[0], 50)]
    is_judged = percent == 99 and len(quiet) >= CALM_BLOCKS_LEAST
    pairs = quiet if is_judged else pairs
    before = [percentile(each, percent) for each, _ in pairs]
    during = [percentile(each, percent) for _, each in pairs]
    ratios = [late / early for early, late in zip(before, during, strict=True)]
    note = f"{len(quiet)} calm blocks, {CALM_BLOCKS_LEAST} are needed to judge"
    return row(
        f"neighbours.{kind}.p{percent}",
        median(during),
        "ms",
        floor=median(before),
        ratio=median(ratios),
        target=MOST if percent == 99 else None,
        holds=median(ratios) <= MOST if is_judged else None,
        spread=spread(ratios),
        samples=sum(len(each) for _, each in pairs),
        **({} if is_judged or percent != 99 else {"note": note}),
    )


async def main(kinds: tuple[str, ...], samples: int = SAMPLES) -> None:
    """Measure in a fresh installation and print the rows."""
    with ground() as place:
        installation = Installation(place / "product", _without())
        installation.start()
        try:
            tick = Path(place / "tick.py")
            tick.write_text(TICK)
            await installation.deploy(tick)
            await installation.deploy(HOSTILE)
            async for found in measure(installation, kinds, samples):
                print(json.dumps(found), flush=True)
        finally:
            installation.stop()


def _without() -> dict[str, str]:
    """Pass on what confinement shall go without."""
    name = "PENSTOCK_CONFINE_WITHOUT"
    return {name: os.environ[name]} if name in os.environ else {}


if __name__ == "__main__":
    asyncio.run(main(tuple(sys.argv[1:]) or KINDS))
