"""XRootD's notices (``ofs.notify``), by way of a folder in which ``xrootd_spooler`` keeps them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import Lister, Loss, SourceContext
from penstock.core.rows import PositionRow
from penstock.sources.file_events import unreadable
from penstock.sources.mounted import MountedLister, MountedSettings
from penstock.sources.xrootd import Line, Notices, begins, folder_of, is_whole, whole
from penstock.sources.xrootd_log import NEVER, ServerLog
from penstock.sources.xrootd_spool import Batch, Damaged, Mark, News, Position, Spool

SPOOL, LOG = "spool", "log"
"""Parts of its position."""
_LOSSES = {
    "start": "XRootD, or the program that keeps its notices, was started again; what waited is lost",
    "full": "the folder for XRootD's notices was full; XRootD may have dropped some",
}


class XrootdSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An XRootD server on this machine.

    Attributes:
        storage: Name of the storage its events are told of.
        spool: Folder in which ``penstock-xrootd-spool`` keeps its notices.
        server_log: The server's own log, the only place where it says that it dropped notices.
        mounted: The folder that the server exports, so that what was lost can be found.
    """

    storage: str
    spool: str
    server_log: str = ""
    mounted: MountedSettings | None = None


class XrootdNotify:
    """The source of kind ``xrootd-notify``."""

    Settings = XrootdSettings

    def __init__(self, settings: XrootdSettings, context: SourceContext) -> None:
        self.name = context.name
        self._settings = settings
        self._context = context
        self._spool = Spool(Path(settings.spool))
        self._notices = Notices(settings.storage, self._is_known)
        self._ready = asyncio.Event()
        self._news: News | None = None
        self._closed = False

    @classmethod
    def open(cls, settings: XrootdSettings, context: SourceContext) -> XrootdNotify:
        """Return the source; nothing is read yet."""
        return cls(settings, context)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield the events of the notices that are there. See ``core.ports.Source``.

        Raises:
            Unavailable: The folder is not there, or may not be read.
        """
        known = self._context.ledger.positions(self.name)
        first = SPOOL not in known
        position = Position() if first else Position.of(known[SPOOL])
        log = self._log(known.get(LOG, NEVER))
        news = self._news = News(self._folders())
        self._ready.set()
        try:
            while not self._closed:
                news.forget()
                if log is not None:
                    await self._look_at(log)
                batch = _held_back(await asyncio.to_thread(self._spool.read, position))
                if batch.behind == position:
                    await news.wait()
                    continue
                events = self._told(batch, first=first)
                first = first and not batch.lines
                if events:
                    yield events
                self._keep(SPOOL, str(batch.behind))
                if batch.behind.file != position.file:
                    await asyncio.to_thread(self._spool.forget, batch.behind)
                position = batch.behind
        finally:
            news.close()
            self._news = None

    def _log(self, position: str) -> ServerLog | None:
        path = self._settings.server_log
        return ServerLog(Path(path), position) if path else None

    def _folders(self) -> list[Path]:
        path = self._settings.server_log
        return [Path(self._settings.spool), *([Path(path).parent] if path else [])]

    def _told(self, batch: Batch, *, first: bool) -> list[Event]:
        events: list[Event] = []
        for item in _joined(batch.lines):
            if isinstance(item, Mark):
                if item.what in _LOSSES and not (first and item is batch.lines[0]):
                    self._lost(b"/", _LOSSES[item.what])
            elif isinstance(item, Damaged):
                self._poison(item.text, Invalid("a line of the spool was not written whole"), b"/")
            else:
                events += self._events_of(item)
        return events

    def _events_of(self, line: Line) -> Sequence[Event]:
        try:
            return self._notices.events(line)
        except Invalid as error:
            self._poison(line.text, error, folder_of(line.text))
            return ()

    def _poison(self, text: bytes, error: Invalid, folder: bytes) -> None:
        self._context.dead_letter(unreadable(self.name, text, error, time.time_ns()))
        self._lost(folder, f"a notice cannot be read: {error}")

    async def _look_at(self, log: ServerLog) -> None:
        before = log.position
        for said in await asyncio.to_thread(log.drops):
            self._lost(b"/", f"XRootD's queue was full and it dropped notices: {said}")
        if log.position != before:
            self._keep(LOG, log.position)

    def _lost(self, folder: bytes, reason: str) -> None:
        self._context.lost(
            Loss(storage=self._settings.storage, folder=folder, reason=reason, at_ns=time.time_ns())
        )

    def _keep(self, part: str, position: str) -> None:
        self._context.ledger.put(PositionRow(self.name, part, position))

    def _is_known(self, path: bytes) -> bool:
        row = self._context.ledger.file(self._settings.storage, path)
        return row is not None and row.present

    def lister(self) -> Lister | None:
        """Return what lists the exported folder; see ``core.ports.Listable``."""
        mounted = self._settings.mounted
        return None if mounted is None else MountedLister(self._settings.storage, mounted)

    async def ready(self) -> None:
        """Return once the folder is watched."""
        await self._ready.wait()

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing: a listing is asked of the storage, not of its notices."""
        nothing: tuple[Sequence[Event], ...] = ()
        for batch in nothing:
            yield batch

    async def close(self) -> None:
        """End ``events``."""
        self._closed = True
        if self._news is not None:
            self._news.ring()


def _held_back(batch: Batch) -> Batch:
    """Return the batch without its last line if that goes on in the next."""
    if not batch.lines or not isinstance(last := batch.lines[-1], Line):
        return batch
    first = len(batch.lines) - 1
    while first > 0 and not begins(last.text) and isinstance(before := batch.lines[first - 1], Line):
        first, last = first - 1, before
    parts = [line.text for line in batch.lines[first:] if isinstance(line, Line)]
    if is_whole(b"\n".join(parts)):
        return batch
    file, _, offset = last.place.rpartition(b":")
    return Batch(batch.lines[:first], Position(file.decode(), int(offset)))


def _joined(items: Sequence[Line | Mark | Damaged]) -> Iterator[Line | Mark | Damaged]:
    """Yield the items, those lines joined that belong together."""
    held: list[Line] = []
    for item in items:
        if isinstance(item, Line):
            held.append(item)
        else:
            yield from whole(iter(held))
            held = []
            yield item
    yield from whole(iter(held))
