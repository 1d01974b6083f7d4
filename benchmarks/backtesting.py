"""A back-test of a million events: processor time, and memory beside that of a tenth of them.

The floor reads the same events from one file, a line each, and parses them with the standard library's
``json``. Each measurement is a process of its own, so that its greatest memory is its own, too.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from benchmarks.blocks import spread
from benchmarks.ground import ground
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.sizes import Sizes
from penstock.core.event import FILE_CREATED, Event, FileRecord, content_id, encode, json_data, subject_of
from penstock.core.rows import Seen
from penstock.core.workflow import Trigger, Workflow
from penstock.log.embedded import EmbeddedLog
from penstock.server.backtest import Past
from penstock.state.embedded import EmbeddedState

CHUNK = 1000
MEMORY_TARGET = 1.1
TARGET_S = 60.0
SHARE = 10
"""Memory is compared with that for one event in so many."""
BLOCKS = 3


class Figures(Struct):
    """What a process of its own measured."""

    seconds: float
    memory: int
    runs: int


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the time's row and the memory's."""
    with ground() as place:
        tick(f"writing {sizes.backtest} events")
        asyncio.run(_fill(place, sizes.backtest))
        floors, ours, small = [], [], []
        for number in range(BLOCKS):
            tick(f"block {number + 1}/{BLOCKS}")
            floors.append(_measured("floor", place, sizes.backtest))
            ours.append(_measured("test", place, sizes.backtest))
            small.append(_measured("test", place, sizes.backtest // SHARE))
        wanted = sum(number % 100 == 0 for number in range(sizes.backtest))
        if {each.runs for each in ours} != {wanted}:
            raise Failed(f"it found {ours[0].runs} runs where {wanted} events match")
        yield _time_row(sizes, floors, ours)
        yield _memory_row(ours, small)


def _time_row(sizes: Sizes, floors: list[Figures], ours: list[Figures]) -> Row:
    per_million = [each.seconds * 1e6 / sizes.backtest for each in ours]
    ratios = [mine.seconds / floor.seconds for mine, floor in zip(ours, floors, strict=True)]
    return row(
        "backtest.million",
        median(per_million),
        "s of one core",
        floor=median(each.seconds * 1e6 / sizes.backtest for each in floors),
        ratio=median(ratios),
        spread=spread(ratios),
        target=TARGET_S,
        holds=median(per_million) <= TARGET_S,
        blocks=BLOCKS,
    )


def _memory_row(ours: list[Figures], small: list[Figures]) -> Row:
    ratio = median(mine.memory / few.memory for mine, few in zip(ours, small, strict=True))
    return row(
        "backtest.memory",
        median(each.memory for each in ours) / 1e6,
        "MB",
        floor=median(each.memory for each in small) / 1e6,
        ratio=ratio,
        target=MEMORY_TARGET,
        holds=ratio <= MEMORY_TARGET,
    )


def _measured(what: str, place: Path, events: int) -> Figures:
    command = [sys.executable, "-m", "benchmarks.backtesting", what, str(place), str(events)]
    return msgspec.json.decode(subprocess.run(command, check=True, capture_output=True).stdout, type=Figures)


async def _fill(place: Path, events: int) -> None:
    """Write the log, the same events as lines, and the ids that the state would know."""
    log, state = EmbeddedLog(place / "log" / "0"), EmbeddedState(place / "state.db")
    with (place / "lines").open("wb") as lines:
        for start in range(0, events, CHUNK):
            batch = [_event(number) for number in range(start, min(start + CHUNK, events))]
            log.write(batch)
            await log.sync()
            lines.writelines(encode(event) + b"\n" for event in batch)
            state.put(*(Seen(event.source, event.id, start + at) for at, event in enumerate(batch)))
            await state.commit()
    log.close()
    state.close()


def _event(number: int) -> Event:
    path = b"/pnfs/example.org/raw/run%d/frame_%07d.%b" % (number // 500, number, _suffix(number))
    record = FileRecord(storage="bench", path=path.decode(), size=number, version=f"{number:036x}")
    subject = subject_of(path)
    return Event(
        id=content_id("bench", path, f"{number:036x}"),
        source="/storages/bench",
        type=FILE_CREATED,
        subject=subject,
        time="2026-11-21T09:00:00Z",
        partitionkey=subject[: subject.rfind("/")],
        data=json_data(record),
    )


def _suffix(number: int) -> bytes:
    return b"nxs" if number % 100 == 0 else b"dat"


async def _test(place: Path, events: int) -> int:
    past = Past(place, "local", frozenset())
    trigger = Trigger(
        id="t",
        tenant="local",
        principal="bench",
        name="b/nxs",
        filter={"all": [{"prefix": {"type": "penstock.file."}}, {"suffix": {"subject": ".nxs"}}]},
        workflow="b/nxs",
    )
    flow = Workflow(tenant="local", name="b/nxs", version=1, steps=())
    report = await past.test([trigger], {"b/nxs": flow}, 0, None, most=events)
    await past.close()
    return report.fired[0].runs


def _parsed(place: Path, events: int) -> int:
    with (place / "lines").open("rb") as lines:
        return sum(
            json.loads(line)["subject"].endswith(".nxs")
            for line, _ in zip(lines, range(events), strict=False)
        )


if __name__ == "__main__":
    chosen, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    begun = time.process_time()
    found = asyncio.run(_test(folder, count)) if chosen == "test" else _parsed(folder, count)
    spent = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.buffer.write(msgspec.json.encode(Figures(spent, memory, found)))
