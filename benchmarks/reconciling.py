"""Reconciling a mounted tree after an outage: set equality, and its rate beside a bare scandir and stat.

Of the files 1 % are new, 1 % changed and 1 % gone. Ours compares the listing with the ledger in the state's
database, looks at each difference again, and puts what it tells durably on the log; what follows from it
there (the pump's work) is not counted. Floor and ours take turns on one tree; processor time of all threads
is compared, and elapsed time is told beside.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.blocks import spread
from benchmarks.ground import ground
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.sizes import Sizes
from penstock.core.event import Event, path_of
from penstock.core.identity import fold
from penstock.core.ports import Record
from penstock.core.rows import Seen
from penstock.log.embedded import EmbeddedLog
from penstock.server.comparison import Comparison
from penstock.server.ledger import PendingLedger
from penstock.sources.mounted import MountedLister, MountedSettings
from penstock.state.embedded import EmbeddedState

TARGET = 0.7
FOLDER = 1000
"""Files in one folder."""
SHARE = 100
"""One file in so many is new, one changed, one gone."""
BLOCKS = 5


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rates by processor time and by elapsed time."""
    with ground() as place:
        tick(f"writing {sizes.reconcile} files")
        tree = place / "tree"
        for number in range(sizes.reconcile):
            _write(tree, number, b"")
        floors, ours = asyncio.run(_measure(place, tree, sizes.reconcile, tick))
    for name, clock in (("cpu", 0), ("elapsed", 1)):
        rates = [floor[clock] / mine[clock] for floor, mine in zip(floors, ours, strict=True)]
        yield row(
            f"reconcile.{name}",
            sizes.reconcile / median(mine[clock] for mine in ours),
            "files/s",
            floor=sizes.reconcile / median(floor[clock] for floor in floors),
            ratio=median(rates),
            spread=spread(rates),
            target=TARGET,
            holds=median(rates) >= TARGET,
            blocks=BLOCKS,
        )


Times = tuple[float, float]


async def _measure(place: Path, tree: Path, files: int, tick: Tick) -> tuple[list[Times], list[Times]]:
    state, log = EmbeddedState(place / "state.db"), EmbeddedLog(place / "log" / "0")
    one = One(tree, state, log)
    tick("telling of everything once")
    await one.reconcile()
    await one.fold()
    floors, ours = [], []
    for block in range(BLOCKS):
        tick(f"block {block + 1}/{BLOCKS}")
        _outage(tree, files, block)
        before, begun = time.process_time(), time.perf_counter()
        _bare(tree)
        floors.append((time.process_time() - before, time.perf_counter() - begun))
        before, begun = time.process_time(), time.perf_counter()
        told = await one.reconcile()
        ours.append((time.process_time() - before, time.perf_counter() - begun))
        await one.fold()
        await one.check(_sizes(tree), told, 3 * (files // SHARE))
    log.close()
    state.close()
    return floors, ours


class One:
    """A ledger, and what reconciles it."""

    def __init__(self, tree: Path, state: EmbeddedState, log: EmbeddedLog) -> None:
        self._tree = os.fsencode(tree)
        self._state, self._log = state, log
        self._ledger = PendingLedger(state, lambda: None)
        self._lister = MountedLister("bench", MountedSettings(folder=str(tree), settle_s=0))
        self._records: list[Record] = []

    async def reconcile(self) -> int:
        """Compare, commit, and return how many differences there were."""
        comparison = Comparison(
            self._lister, self._ledger, seen=self._seen, told=self._told, files_per_s=float("inf")
        )
        await comparison.run(self._tree, 0)
        return comparison.created + comparison.deleted

    async def _seen(self, events: Sequence[Event]) -> set[str]:
        return {event.id for event in events if self._state.get(Seen, event.source, event.id) is not None}

    async def _told(self, events: Sequence[Event]) -> None:
        self._records += await self._log.append(events)

    async def fold(self) -> None:
        """Do what the pump does for the ledger."""
        records, self._records = self._records, []
        for record in records:
            event = record.event
            self._state.put(Seen(event.source, event.id, record.offset))
            found = fold(self._ledger.file("bench", path_of(event.subject or "")), event, record.offset)
            if found.row is not None:
                self._ledger.folded(found.row)
        await self._state.commit()

    async def check(self, there: dict[bytes, int], told: int, wanted: int) -> None:
        """Refuse to tell a rate of what is not true."""
        known = {row.path: row.size async for row in self._ledger.files("bench", self._tree)}
        if known != there:
            raise Failed(f"{len(known.items() ^ there.items())} files are not what the ledger says")
        if told != wanted:
            raise Failed(f"{told} differences were told, {wanted} were made")


def _bare(tree: Path) -> int:
    """List and stat, and nothing else: the floor."""
    count, waiting = 0, [os.fsencode(tree)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    count += 1
    return count


def _sizes(tree: Path) -> dict[bytes, int]:
    return {os.fsencode(path): path.stat().st_size for path in tree.rglob("*") if path.is_file()}


def _outage(tree: Path, files: int, block: int) -> None:
    """Make one file in a hundred new, one changed and one gone, in every folder."""
    for number in range(files // SHARE):
        place = number * SHARE
        _write(tree, place + 3 * block, b"changed %d" % block)
        _path(tree, place + 3 * block + 1).unlink()
        new = _path(tree, place)
        new.with_name(f"new_{block}_{new.name}").write_bytes(b"new")


def _write(tree: Path, number: int, content: bytes) -> None:
    path = _path(tree, number)
    if number % FOLDER == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _path(tree: Path, number: int) -> Path:
    return tree / f"run{number // FOLDER:04d}" / f"frame_{number:07d}.nxs"
