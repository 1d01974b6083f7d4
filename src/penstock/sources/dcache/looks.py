"""Looking at the namespace, and telling what is there now.

A notice says neither version nor size, and comes when it comes. So each one makes us look, and what is there
now is told: a notice that is late, doubled or out of order changes when something is told, never what.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from penstock.core.errors import Refused
from penstock.core.event import Event
from penstock.core.identity import returned_id
from penstock.core.rows import FileState
from penstock.sources.dcache.frontend import Described, Frontend
from penstock.sources.dcache.knowledge import Knowledge
from penstock.sources.dcache.rest import Odd
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.sse import Frame, raw_of
from penstock.sources.dcache.told import Teller
from penstock.sources.dcache.walk import FILE, Found

CLOSED, ARRIVED, LEFT, DELETED, READ = (
    "IN_CLOSE_WRITE", "IN_MOVED_TO", "IN_MOVED_FROM", "IN_DELETE", "IN_CLOSE_NOWRITE",
)  # fmt: skip
CONTENT = frozenset({CLOSED, ARRIVED})
BATCH = 500
"""Ends told at once."""


class Seen(Struct, frozen=True):
    """One notice, understood.

    Attributes:
        flag: Such as ``IN_CLOSE_WRITE``.
        path: Of the entry, in the namespace.
        frame: The event it came in.
        channel: Address of the channel; names the event together with its number.
        is_folder: Whether the entry is a folder.
        cookie: Joins the halves of a move.
        before: Where the entry was, if it was moved here within what is watched.
    """

    flag: str
    path: str
    frame: Frame
    channel: str
    is_folder: bool = False
    cookie: str = ""
    before: str = ""

    @property
    def native(self) -> bytes:
        """What names this notice."""
        return f"{self.channel} {self.frame.id}".encode()


class Look(Struct, frozen=True):
    """What a look found: an entry, nothing, or that we may not see it."""

    described: Described | None = None
    hidden: bool = False


class Looks:
    """Tells of files.

    Args:
        settings: How long a file may be unfinished.
        frontend: Asked, once per file and batch.
        shown: Gives a path as our login sees it.
        known: What was told before.
        tell: Makes events.
        later: Called with files that are perhaps being written to.
    """

    def __init__(
        self,
        settings: DCacheSseSettings,
        frontend: Frontend,
        shown: Callable[[str], str],
        known: Knowledge,
        tell: Teller,
        later: Callable[[Sequence[str]], None],
    ) -> None:
        self._settings = settings
        self._frontend = frontend
        self._shown = shown
        self._known = known
        self._tell = tell
        self._later = later

    async def files(self, notices: Sequence[Seen]) -> list[Event]:
        """Return what notices about files tell, in their order; each file is asked for once."""
        last = {seen.path: index for index, seen in enumerate(notices) if seen.flag in CONTENT}
        asked = dict.fromkeys(last)
        for seen in notices:
            for path in (seen.before, seen.path if seen.flag in (DELETED, LEFT) else ""):
                if path and self._is_present(path):
                    asked[path] = None
        looks = dict(zip(asked, await asyncio.gather(*map(self._look, asked)), strict=True))
        events = []
        for index, seen in enumerate(notices):
            told = self._of_one(seen, looks, newest=last.get(seen.path) == index)
            for event in told:
                self._known.told(event)
            events += told
        return events

    def found(self, files: Sequence[Found], *, first: bool) -> list[Event]:
        """Return what a listing tells that was not told before.

        Args:
            files: What it found.
            first: Whether nobody asked before, so that what is there is taken in without events.
        """
        events, young = [], []
        for path, described in files:
            version = described.attributes.pnfsId
            row = self._known.row(path)
            if row is not None and row.present and row.version == version:
                continue
            if self._is_unfinished(described):
                young.append(path)
            elif first and row is None and not self._settings.existing:
                self._known.put(_untold(self._settings.storage, path, described))
            else:
                event = self._tell.content(path, described, None, identity=_return_of(row, version))
                self._known.told(event)
                events.append(event)
        if young:
            self._later(young)
        return events

    async def again(self, paths: Sequence[str]) -> list[Event]:
        """Return what is told of files whose time for being written to is over."""
        looks = await asyncio.gather(*map(self._look, paths))
        events = []
        for path, look in zip(paths, looks, strict=True):
            if look.described is not None and not self._is_told(path, look.described):
                event = self._tell.content(path, look.described, None)
                self._known.told(event)
                events.append(event)
        return events

    async def gone_below(self, folder: str, notice: Seen) -> AsyncIterator[list[Event]]:
        """Yield the ends of all files known below a folder that has left."""
        events: list[Event] = []
        async for row in self._known.below(folder):
            path = row.path.decode("utf-8", "replace")
            event = self._tell.gone(path, row, raw_of(notice.frame), notice.native)
            self._known.told(event)
            events.append(event)
            if len(events) >= BATCH:
                yield events
                events = []
        if events:
            yield events

    async def missing(self, folder: str, there: Set[int]) -> AsyncIterator[list[Event]]:
        """Yield the ends of files that are known below a folder, and were not found there.

        Args:
            folder: Its namespace path.
            there: Hashes of the paths that a listing found; what is not among them is looked at once more.
        """
        if (await self._look(folder)).described is None:
            return  # A folder that is away is no deletion of its files.
        rows: list[FileState] = []
        async for row in self._known.below(folder):
            if hash(row.path) not in there:
                rows.append(row)
            if len(rows) >= BATCH:
                if events := await self._ends(rows):
                    yield events
                rows = []
        if rows and (events := await self._ends(rows)):
            yield events

    async def _ends(self, rows: Sequence[FileState]) -> list[Event]:
        paths = [row.path.decode("utf-8", "replace") for row in rows]
        looks = await asyncio.gather(*map(self._look, paths))
        events = []
        for row, path, look in zip(rows, paths, looks, strict=True):
            found = look.described
            if look.hidden or (found is not None and found.attributes.pnfsId == row.version):
                continue
            event = self._tell.gone(path, row)
            self._known.told(event)
            events.append(event)
        return events

    async def empty(self, folder: str) -> None:
        """Take note that the files known below a renamed folder are not there any more; nobody is told."""
        rows = [row async for row in self._known.below(folder)]
        for row in rows:
            self._known.put(replace(row, present=False, event_id=""))

    def listed(self, files: Sequence[Found]) -> list[Event]:
        """Return an event for each file of a listing, under the id that its content has."""
        events = []
        for path, described in files:
            if self._is_unfinished(described):
                continue
            event = self._tell.content(path, described, None)
            row = self._known.row(path)
            if row is not None and row.event_id and row.version == described.attributes.pnfsId:
                event = replace(event, id=row.event_id)
            events.append(event)
        return events

    # -- parts ---------------------------------------------------------------------------------------

    def _of_one(self, seen: Seen, looks: dict[str, Look], *, newest: bool) -> list[Event]:
        origin = raw_of(seen.frame)
        row = self._known.row(seen.path)
        if seen.flag == READ:
            version = row.version if row is not None else ""
            return [self._tell.read(seen.path, version, origin, seen.native)]
        if seen.flag in CONTENT:
            left = self._end(seen.before, seen, looks, moved_to=seen.path) if seen.before else []
            return left + (self._content(seen, looks[seen.path]) if newest else [])
        return self._end(seen.path, seen, looks)

    def _content(self, seen: Seen, look: Look) -> list[Event]:
        origin = raw_of(seen.frame)
        if look.hidden:
            return [self._tell.unseen(seen.path, origin, seen.native)]
        described = look.described
        if described is None or described.attributes.fileType != FILE:
            return []
        row = self._known.row(seen.path)
        back = _return_of(row, described.attributes.pnfsId) if seen.flag == ARRIVED else ""
        if not back and self._is_told(seen.path, described):
            return []
        if self._is_unfinished(described):
            self._later([seen.path])
            return []
        moved_from = seen.before or None
        return [self._tell.content(seen.path, described, origin, moved_from=moved_from, identity=back)]

    def _end(self, path: str, seen: Seen, looks: dict[str, Look], moved_to: str | None = None) -> list[Event]:
        row, look = self._known.row(path), looks.get(path)
        if row is None or not row.present or look is None:
            return []
        if look.described is not None and look.described.attributes.pnfsId == row.version:
            return []  # What has ended was other content, before this.
        return [self._tell.gone(path, row, raw_of(seen.frame), seen.native, moved_to)]

    async def _look(self, path: str) -> Look:
        try:
            return Look(await self._frontend.describe(self._shown(path)))
        except (Refused, Odd):
            return Look(hidden=True)

    def _is_present(self, path: str) -> bool:
        row = self._known.row(path)
        return row is not None and row.present

    def _is_told(self, path: str, described: Described) -> bool:
        row = self._known.row(path)
        return row is not None and bool(row.event_id) and row.version == described.attributes.pnfsId

    def _is_unfinished(self, described: Described) -> bool:
        """Whether somebody may be writing to it: dCache knows size and checksum when a file is closed."""
        found = described.attributes
        if found.size or found.checksums:
            return False
        return time.time() - found.mtime / 1000 < self._settings.unfinished_s


def _return_of(row: FileState | None, version: str) -> str:
    """Return the id of content that is back, though its end was told; empty for any other."""
    if row is None or row.present or row.version != version:
        return ""
    return returned_id(row)


def _untold(storage: str, path: str, described: Described) -> FileState:
    found = described.attributes
    return FileState(
        storage=storage,
        path=path.encode(),
        generation=1,
        size=found.size,
        mtime_ns=found.mtime * 1_000_000,
        ctime_ns=found.mtime * 1_000_000,
        inode=0,
        present=True,
        version=found.pnfsId,
    )
