"""Listings in the background: at start, after an overflow, of folders that came, went or were renamed.

One task does one scan after the other. The disk is read in a thread, in steps; what a step found is
handed to the source as a ``Chunk`` and compared there, between two reads of notices. At most
``CHUNKS_MAX`` chunks wait, so memory does not grow with the tree.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from penstock.core.ports import Ledger
from penstock.sources.compare import Comparer
from penstock.sources.lease import Writers
from penstock.sources.rescan import Fault, Look, Walk, look_at_all, missing

CHUNKS_MAX = 2
_T = TypeVar("_T")


@dataclass(kw_only=True)
class Tally:
    """What a scan has come to so far."""

    begun_ns: int = 0
    listed: int = 0
    created: int = 0
    deleted: int = 0
    unread: int = 0


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One thing to list.

    Attributes:
        walk: Folders to walk through, or None.
        paths: Files to look at, besides.
        missing_below: A folder whose known files are looked for on the disk; empty for none.
        moved: Former and present path of a renamed folder.
        whole: Whether it covers the whole tree.
        may_predate: Whether files older than the baseline are taken in without an event.
        proves: Whether all that happened in ``missing_below`` is told when it ends.
        tally: What it has come to.
    """

    walk: Walk | None = None
    paths: tuple[bytes, ...] = ()
    missing_below: bytes = b""
    moved: tuple[bytes, bytes] | None = None
    whole: bool = False
    may_predate: bool = False
    proves: bool = False
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What one step of a scan found, to be compared once more and told.

    Attributes:
        scan: Of which it is a step.
        looks: Files that differ from the ledger.
        gone: Paths at which a known file is not any more.
        faults: What could not be read.
        last: Whether the scan ends with it.
    """

    scan: Scan
    looks: Sequence[Look] = ()
    gone: Sequence[bytes] = ()
    faults: Sequence[Fault] = ()
    last: bool = False


@dataclass
class Scanner:
    """Does scans one after the other.

    Args:
        storage: Name of the storage.
        ledger: What is known of it.
        compare: Compares with that.
        step_max: Entries looked at in one step.
        ready: Called when a chunk is ready to be taken.
    """

    storage: str
    ledger: Ledger
    compare: Comparer
    step_max: int
    ready: Callable[[], None]
    _scans: deque[Scan] = field(default_factory=deque)
    _chunks: deque[Chunk] = field(default_factory=deque)
    _busy: bool = False
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _taken: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="penstock-folder-scan")
    )

    def ask(self, scan: Scan) -> None:
        """Queue a scan; a scan of the whole tree that has not begun makes a second one needless."""
        if scan.whole and any(other.whole for other in self._scans):
            return
        self._scans.append(scan)
        self._asked.set()

    @property
    def has_chunk(self) -> bool:
        """Whether a chunk is ready."""
        return bool(self._chunks)

    @property
    def idle(self) -> bool:
        """Whether nothing is being listed, or waits for it."""
        return not self._scans and not self._chunks and not self._busy

    def take(self) -> Chunk | None:
        """Return the next chunk, if one is ready."""
        if not self._chunks:
            return None
        self._taken.set()
        return self._chunks.popleft()

    async def run(self) -> None:
        """Do what is asked, for ever; cancel it."""
        while True:
            self._busy = True
            while self._scans:
                await self._scan(self._scans.popleft())
            self._busy = False
            self._asked.clear()
            await self._asked.wait()

    def close(self) -> None:
        """Wait for the step under way (milliseconds) and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _scan(self, scan: Scan) -> None:
        scan.tally.begun_ns = time.time_ns()
        while scan.walk is not None and not scan.walk.done:
            step = await self._in_thread(scan.walk.step, self.step_max)
            scan.tally.listed += len(step.files)
            different = [path for path, stat in step.files if not self.compare.is_known(path, stat)]
            await self._look(scan, different, step.faults)
        await self._look(scan, scan.paths, ())
        if scan.missing_below:
            async for paths in self._known_below(scan.missing_below):
                gone = await self._in_thread(missing, paths)
                if gone:
                    await self._hand_over(Chunk(scan=scan, gone=gone))
        await self._hand_over(Chunk(scan=scan, last=True))

    async def _look(self, scan: Scan, paths: Sequence[bytes], faults: Sequence[Fault]) -> None:
        if not paths and not faults:
            return
        looks, more_faults = await self._in_thread(look_at_all, paths)
        present = [seen for seen in looks if seen.stat is not None and seen.writers is not Writers.SOME]
        await self._hand_over(Chunk(scan=scan, looks=present, faults=[*faults, *more_faults]))

    async def _known_below(self, folder: bytes) -> AsyncIterator[list[bytes]]:
        paths: list[bytes] = []
        async for row in self.ledger.files(self.storage, folder):
            paths.append(row.path)
            if len(paths) >= self.step_max:
                yield paths
                paths = []
        if paths:
            yield paths

    async def _hand_over(self, chunk: Chunk) -> None:
        while len(self._chunks) >= CHUNKS_MAX:
            self._taken.clear()
            await self._taken.wait()
        self._chunks.append(chunk)
        self.ready()

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
