"""A function's latency while others misbehave beside it, against its own latency before.

Run ``python -m benchmarks.neighbours [KIND…]``; it prints one JSON object a line. Files are written at a
steady pace; what counts is the time from a file's close to the first line of its function. Blocks before and
blocks beside one kind of hostile function, called again and again, take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.blocks import CALM, SAMPLES_LEAST, percentile, spread
from benchmarks.ground import ROOT, ground
from benchmarks.rows import Failed, Row, row
from benchmarks.sizes import DEFAULT
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
PACE_S = 0.01
MOST = 1.5
"""Target: so many times the p99 of before."""
WAIT_S = 60.0


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


Pair = tuple[list[float], list[float]]
"""Latencies of one block before, and of one beside hostile functions."""


async def measure(
    installation: Installation, kinds: Sequence[str], blocks: int, samples: int
) -> AsyncIterator[Row]:
    """Yield two rows for each kind of hostile function."""
    neighbour = Neighbour(installation)
    async with installation.connected() as client:
        await neighbour.block(samples)
        for kind in kinds:
            pairs = []
            for _ in range(blocks):
                before = await neighbour.block(samples)
                async with beside(client, kind):
                    during = await neighbour.block(samples)
                pairs.append((before, during))
            for row_of in (_p50_row, _p99_row):
                yield row_of(f"neighbours.{kind}", pairs)


def _p50_row(name: str, pairs: Sequence[Pair]) -> Row:
    before, during = ([percentile(each[side], 50) for each in pairs] for side in (0, 1))
    ratios = [late / early for early, late in zip(before, during, strict=True)]
    return row(
        f"{name}.p50",
        median(during),
        "ms",
        floor=median(before),
        ratio=median(ratios),
        spread=spread(ratios),
        blocks=len(pairs),
    )


def _p99_row(name: str, pairs: Sequence[Pair]) -> Row:
    """Return the row that is judged: all samples of the pairs that were calm before, together."""
    calm_pairs = [pair for pair in pairs if percentile(pair[0], 99) < CALM * percentile(pair[0], 50)]
    counted = calm_pairs or pairs
    before, during = (percentile([ms for each in counted for ms in each[side]], 99) for side in (0, 1))
    ratios = [percentile(late, 99) / percentile(early, 99) for early, late in pairs]
    samples = sum(len(late) for _, late in calm_pairs)
    is_judged = samples >= SAMPLES_LEAST
    note = f"{samples} samples in {len(calm_pairs)} calm blocks; a p99 needs {SAMPLES_LEAST}"
    return row(
        f"{name}.p99",
        during,
        "ms",
        floor=before,
        ratio=during / before,
        target=MOST,
        holds=during / before <= MOST if is_judged else None,
        spread=spread(ratios),
        blocks=len(pairs),
        calm_blocks=len(calm_pairs),
        samples=samples,
        **({} if is_judged else {"note": note}),
    )


async def main(kinds: Sequence[str], blocks: int, samples: int) -> None:
    """Measure in a fresh installation and print the rows."""
    with ground() as place:
        installation = Installation(place / "product", _without())
        installation.start()
        try:
            tick = Path(place / "tick.py")
            tick.write_text(TICK)
            await installation.deploy(tick)
            await installation.deploy(HOSTILE)
            async for found in measure(installation, kinds, blocks, samples):
                print(json.dumps(found), flush=True)
        finally:
            installation.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.neighbours", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", choices=[*KINDS, []], help=", ".join(KINDS))
    parser.add_argument("--blocks", type=int, default=DEFAULT.blocks)
    parser.add_argument("--samples", type=int, default=DEFAULT.neighbours, help="files in a block")
    return parser.parse_args()


def _without() -> dict[str, str]:
    """Pass on what confinement shall go without."""
    name = "PENSTOCK_CONFINE_WITHOUT"
    return {name: os.environ[name]} if name in os.environ else {}


if __name__ == "__main__":
    chosen = _arguments()
    asyncio.run(main(chosen.kinds or KINDS, chosen.blocks, chosen.samples))
