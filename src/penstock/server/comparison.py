"""One comparison of a tree with the ledger; see ``core.reconcile`` for what is decided, and why.

Contents are told as they are found; the ends of others are held back until the listing has come to its end,
and each path is looked at once more before: a listing that breaks off tells of nothing as deleted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from penstock.core.event import FILE_DELETED, Event
from penstock.core.ports import Listed, Lister, Look, Stamp
from penstock.core.reconcile import Difference, Merge, Verdict, verdict
from penstock.core.rows import FileState
from penstock.server.ledger import PendingLedger

BATCH = 500
"""Differences settled, and told, at once."""
GONE_HELD_MAX = 200_000
"""Paths held back until the listing ends; with more, these are told as soon as they were looked at."""
UNSETTLED_MAX = 10_000
"""Files held that may be being written to."""
TRIES = 3
"""How often a path is looked at if the ledger changes meanwhile."""
SETTLE_S = 6.0
"""How long after the listing the unsettled ones are looked at again."""
Seen = Callable[[Sequence[Event]], Awaitable[set[str]]]
Told = Callable[[Sequence[Event]], Awaitable[None]]


class Comparison:
    """A comparison.

    Args:
        lister: Lists the storage.
        ledger: What is known.
        seen: Returns the ids of those events that were told before.
        told: Puts events on the log, durably; None for a trial, which changes nothing.
        progress: Called now and then.
        files_per_s: Most files listed in a second.

    Attributes:
        listed: Files found so far.
        created: Contents told of.
        deleted: Ends told of.
        found: The first differences of a trial: ``created`` or ``deleted``, and the path.
    """

    def __init__(
        self,
        lister: Lister,
        ledger: PendingLedger,
        *,
        seen: Seen,
        told: Told | None,
        progress: Callable[[], None] = lambda: None,
        files_per_s: float = 20_000,
        shown_max: int = 1000,
    ) -> None:
        self._lister = lister
        self._ledger = ledger
        self._since_ns = 0
        self._seen = seen
        self._told = told
        self.progress = progress
        self._files_per_s = files_per_s
        self._shown_max = shown_max
        self._gone: list[bytes] = []
        self._unsettled: dict[bytes, None] = {}
        self.listed = self.created = self.deleted = 0
        self.found: list[tuple[str, bytes]] = []

    async def run(self, folder: bytes, since_ns: int) -> None:
        """Compare a folder with all below it.

        Args:
            folder: Its path.
            since_ns: What is older and unknown was there before anybody asked.

        Raises:
            Unavailable: The storage or the ledger is away; nothing is proven.
            Refused: The storage does not let us.
        """
        self._since_ns = since_ns
        here: list[bytes] = []
        async for differences in self._differences(folder):
            here += [each.path for each in differences if each.stamp is not None and not self._is_same(each)]
            self._gone += [each.path for each in differences if each.stamp is None]
            if len(here) >= BATCH:
                await self._settle(here)
                here = []
            if len(self._gone) > GONE_HELD_MAX:
                await self._settle_gone()
            self.progress()
        await self._settle(here)
        await self._settle_gone()
        if self._unsettled:
            unsettled, self._unsettled = list(self._unsettled), {}
            await asyncio.sleep(SETTLE_S)
            await self._settle(unsettled)  # Those still written to are told of when they are closed.

    async def _settle_gone(self) -> None:
        gone, self._gone = self._gone, []
        await self._settle(gone)

    # -- listing and ledger --------------------------------------------------------------------------

    async def _differences(self, folder: bytes) -> AsyncIterator[list[Difference]]:
        merge, begun = Merge(), time.monotonic()
        listed = self._lister.pages(folder)
        known = self._ledger.stamps(self._lister.storage, folder, self._lister.stamp)
        while True:
            if merge.wants_listed:
                page = await anext(listed, None)
                merge.listed(page if page is None else await self._paced(page, begun))
            elif merge.wants_known:
                merge.known(await anext(known, None))
            elif different := merge.differences():
                yield different
            elif not (merge.wants_listed or merge.wants_known):
                return

    async def _paced(self, page: Sequence[Stamp], begun: float) -> Sequence[Stamp]:
        self.listed += len(page)
        ahead_s = self.listed / self._files_per_s - (time.monotonic() - begun)
        await asyncio.sleep(max(0.0, ahead_s))
        return page

    def _is_same(self, difference: Difference) -> bool:
        row = self._row(difference.path)
        if row is None or not row.present or difference.stamp is None:
            return False
        return self._lister.is_same(difference.stamp, row)

    def _row(self, path: bytes) -> FileState | None:
        return self._ledger.file(self._lister.storage, path)

    # -- what is told --------------------------------------------------------------------------------

    async def _settle(self, paths: Sequence[bytes]) -> None:
        for start in range(0, len(paths), BATCH):
            await self._settle_some(paths[start : start + BATCH])

    async def _settle_some(self, paths: Sequence[bytes]) -> None:
        waiting, verdicts = list(paths), list[Verdict]()
        for _ in range(TRIES):
            before, mark = await self._rows(waiting), self._ledger.mark()
            found = await self._looks(waiting)
            after = before if self._ledger.is_unchanged(mark) else await self._rows(waiting)
            moved = []
            for path in waiting:
                if before[path] != after[path]:
                    moved.append(path)  # Notices tell of it just now.
                elif path in found:
                    verdicts.append(self._verdict(found[path], after[path]))
            waiting = moved
            if not waiting:
                break
        await self._act(verdicts)

    async def _rows(self, paths: Sequence[bytes]) -> dict[bytes, FileState | None]:
        await self._ledger.prefetch(self._lister.storage, paths)
        return {path: self._row(path) for path in paths}

    async def _looks(self, paths: Sequence[bytes]) -> dict[bytes, Listed | None]:
        """Return what is at each path now; those that may be being written to are missing."""
        found: dict[bytes, Listed | None] = {}
        for path, seen in zip(paths, await self._lister.look(paths), strict=True):
            if not isinstance(seen, Look):
                found[path] = seen
            elif seen is Look.NOTHING:
                found[path] = None
            elif seen is Look.UNSETTLED and len(self._unsettled) < UNSETTLED_MAX:
                self._unsettled[path] = None
        return found

    def _verdict(self, found: Listed | None, before: FileState | None) -> Verdict:
        return verdict(self._lister.storage, found, before, since_ns=self._since_ns, now_ns=time.time_ns())

    async def _act(self, verdicts: Sequence[Verdict]) -> None:
        events = [each.event for each in verdicts if each.event is not None]
        known = await self._seen(events) if events else set()
        fresh = [event for event in events if event.id not in known]
        for event in fresh:
            self._count(event)
        if self._told is None:
            return
        for each in verdicts:
            if each.row is not None and (each.event is None or each.event.id in known):
                self._ledger.learn(each.row)
        if fresh:
            await self._told(fresh)

    def _count(self, event: Event) -> None:
        is_end = event.type == FILE_DELETED
        self.deleted += is_end
        self.created += not is_end
        if self._told is None and len(self.found) < self._shown_max:
            self.found.append(("deleted" if is_end else "created", (event.subject or "").encode()))
