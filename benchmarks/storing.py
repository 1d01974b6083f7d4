"""The log and the state alone: durable appends by batch size, rows of state by commit."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.blocks import spread
from benchmarks.ground import ground
from benchmarks.rows import Row, Tick, row
from benchmarks.sizes import Sizes
from penstock.core.event import Event, encode
from penstock.core.rows import Decision, Outcome
from penstock.log.embedded import EmbeddedLog
from penstock.state.embedded import EmbeddedState

BATCHES = (1, 10, 100, 1000)
RECORD_BYTES = 700


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield a row for each batch size, and one for the state."""
    with ground() as place:
        for batch in BATCHES:
            tick(f"{BATCHES.index(batch)}/{len(BATCHES)} appends in batches of {batch}")
            yield _append_row(place / str(batch), batch, sizes)
        tick("commits of state")
        yield _state_row(place, sizes)


def _append_row(home: Path, batch: int, sizes: Sizes) -> Row:
    home.mkdir()
    events = [_event(number) for number in range(batch)]
    turns = max(3, min(sizes.appends, 100 * batch) // batch)
    floors, ours = [], []
    for number in range(sizes.blocks):
        floors.append(batch * turns / _bare_s(home / f"bare-{number}", b"".join(map(encode, events)), turns))
        ours.append(batch * turns / asyncio.run(_append_s(home / f"log-{number}", events, turns)))
    ratios = [mine / floor for mine, floor in zip(ours, floors, strict=True)]
    return row(
        f"append.batch_of_{batch}",
        median(ours),
        "events/s",
        floor=median(floors),
        ratio=median(ratios),
        spread=spread(ratios),
        blocks=sizes.blocks,
    )


def _event(number: int) -> Event:
    event = Event(id=f"bench-{number}", source="/bench", type="bench.event", subject="x")
    missing = RECORD_BYTES - len(encode(event))
    return msgspec.structs.replace(event, subject="x" * missing)


def _bare_s(path: Path, chunk: bytes, turns: int) -> float:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    begun = time.perf_counter()
    for _ in range(turns):
        os.write(file, chunk)
        os.fdatasync(file)
    seconds = time.perf_counter() - begun
    os.close(file)
    return seconds


async def _append_s(folder: Path, events: list[Event], turns: int) -> float:
    log = EmbeddedLog(folder)
    begun = time.perf_counter()
    for _ in range(turns):
        await log.append(events)
    seconds = time.perf_counter() - begun
    log.close()
    return seconds


def _state_row(place: Path, sizes: Sizes) -> Row:
    """Return the row of a commit, in microseconds for each row of state."""
    floors, ours = [], []
    for number in range(sizes.blocks):
        rows = [_decision(number, index) for index in range(sizes.rows)]
        floors.append(_bare_commit_s(place / f"bare-{number}.db", rows) / sizes.rows * 1e6)
        ours.append(asyncio.run(_commit_s(place / f"state-{number}.db", rows)) / sizes.rows * 1e6)
    ratios = [mine / floor for mine, floor in zip(ours, floors, strict=True)]
    return row(
        "append.state_row",
        median(ours),
        "us/row",
        floor=median(floors),
        ratio=median(ratios),
        spread=spread(ratios),
        blocks=sizes.blocks,
        rows=sizes.rows,
    )


def _decision(block: int, number: int) -> Decision:
    return Decision(
        event_id=f"{block}-{number:036}",
        source="/storages/local",
        trigger="t" * 40,
        tenant="local",
        offset=number,
        subject=f"/data/raw/run1/{number}.nxs",
        outcome=Outcome.MATCHED,
        run="r" * 40,
    )


async def _commit_s(path: Path, rows: list[Decision]) -> float:
    state = EmbeddedState(path)
    begun = time.perf_counter()
    state.put(*rows)
    await state.commit()
    seconds = time.perf_counter() - begun
    state.close()
    return seconds


def _bare_commit_s(path: Path, rows: list[Decision]) -> float:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    columns = Decision.__struct_fields__
    database.execute(f"CREATE TABLE rows ({', '.join(columns)}, PRIMARY KEY ({columns[0]}, {columns[1]}))")
    database.commit()
    begun = time.perf_counter()
    marks = ", ".join("?" * len(columns))
    values = [tuple(map(str, msgspec.structs.astuple(each))) for each in rows]
    database.executemany(f"INSERT OR REPLACE INTO rows VALUES ({marks})", values)
    database.commit()
    seconds = time.perf_counter() - begun
    database.close()
    return seconds
