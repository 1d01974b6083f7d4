"""The log as the API reads it: any record, in a thread of its own, up to the durable end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from penstock.core.errors import NotFound, Unavailable
from penstock.core.event import Event, encode
from penstock.core.filter import Predicate, View
from penstock.core.ports import Record
from penstock.log.reader import Reader
from penstock.server.api.times import shown

SCAN_RECORDS_MAX = 50_000
"""Most records that one question looks at; its answer says where to go on."""
NAMING_MAX = 20
"""Most records that are looked at for one id."""
SEARCH_RECORDS_MAX = 300_000
"""Most records that are searched for the events about one subject."""
BLOCK = 1000
PAGE_BYTES_MAX = 4 << 20
"""Most bytes of events in one answer."""

T = TypeVar("T")


class Entry(Struct, frozen=True):
    """A record and its JSON, as lists and streams show it.

    Attributes:
        offset: Position in the log.
        appended_ns: When it was appended, POSIX nanoseconds.
        event: The event.
        json: ``{"offset", "appended", "event"}``.
    """

    offset: int
    appended_ns: int
    event: Event
    json: bytes


class Page(Struct, frozen=True):
    """Some entries, and the offset at which to go on; None if there is nothing more."""

    entries: list[Entry]
    next: int | None


def entry_of(record: Record) -> Entry:
    """Return the entry for a record."""
    body = b'{"offset":%d,"appended":"%b","event":%b}' % (
        record.offset,
        shown(record.appended_ns).encode(),
        encode(record.event),
    )
    return Entry(record.offset, record.appended_ns, record.event, body)


class History:
    """Reads the log in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Open files later, when something is asked."""
        self._reader = Reader(folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-reader")

    async def close(self) -> None:
        """Let go."""
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        self._reader.close()

    async def entries(self, start: int, end: int) -> list[Entry]:
        """Return the entries from ``start`` up to, not including, ``end``.

        Raises:
            Trimmed: Retention has removed ``start``.
        """
        return await self._in_thread(lambda: [entry_of(record) for record in self._reader.read(start, end)])

    async def entry(self, offset: int, end: int) -> Entry:
        """Return one entry.

        Raises:
            NotFound: The log has none there.
            Trimmed: Not any more.
        """
        found = await self.entries(offset, offset + 1) if offset < end else []
        if not found:
            raise NotFound(f"the log has no event at offset {offset}; it ends before {end}")
        return found[0]

    async def first(self) -> int:
        """Return the oldest offset left."""
        return await self._in_thread(self._reader.first)

    async def offset_at(self, posix_ns: int) -> int:
        """Return the offset of the first record appended at or after a time."""
        return await self._in_thread(lambda: self._reader.offset_at(posix_ns))

    async def page(
        self, since: int, until: int, limit: int, wanted: Predicate | None, *, newest_first: bool
    ) -> Page:
        """Return up to ``limit`` entries between two offsets, looking at ``SCAN_RECORDS_MAX`` at most."""
        return await self._in_thread(lambda: self._page(since, until, limit, wanted, newest_first))

    def _page(self, since: int, until: int, limit: int, wanted: Predicate | None, newest: bool) -> Page:
        since = max(since, self._reader.first())
        found: list[Entry] = []
        size = 0
        records = self._backwards(since, until) if newest else self._reader.read(since, until)
        for looked, record in enumerate(records):
            rest = record.offset + 1 if newest else record.offset
            if len(found) >= limit or size > PAGE_BYTES_MAX or looked >= SCAN_RECORDS_MAX:
                return Page(found, rest)
            if wanted is None or wanted(View(record.event)):
                found.append(entry_of(record))
                size += len(found[-1].json)
        return Page(found, None)

    def _backwards(self, since: int, until: int) -> Iterator[Record]:
        while until > since:
            start = max(since, until - BLOCK)
            yield from reversed(list(self._reader.read(start, until)))
            until = start

    async def about(self, subject: str, end: int, most: int) -> list[Entry]:
        """Return the newest events about a subject, newest first."""
        needle = b'"subject":' + msgspec.json.encode(subject)
        return await self._in_thread(lambda: self._search(needle, end, most))

    async def of_id(self, event_id: str, end: int) -> Entry | None:
        """Return the newest event with this id, among the newest ``SEARCH_RECORDS_MAX``."""
        found = await self.naming(event_id, end)
        return next((entry for entry in found if entry.event.id == event_id), None)

    async def naming(self, event_id: str, end: int) -> list[Entry]:
        """Return the newest records that are an event with this id, or hold one, newest first."""
        needle = b'"id":' + msgspec.json.encode(event_id)
        return await self._in_thread(lambda: self._search(needle, end, NAMING_MAX))

    def _search(self, needle: bytes, end: int, most: int) -> list[Entry]:
        first = max(self._reader.first(), end - SEARCH_RECORDS_MAX)
        found: list[Entry] = []
        while end > first and len(found) < most:
            start = max(first, end - BLOCK)
            hits = [offset for offset, _, body in self._reader.frames(start, end) if needle in body]
            for offset in reversed(hits):
                found += [entry_of(record) for record in self._reader.read(offset, offset + 1)]
            end = start
        return found[:most]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def told() -> T:
            with readable(self._reader.folder):
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, told)


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Make errors of the file system ``Unavailable``: retention was faster, or no engine was ever here."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the log in {folder} cannot be read now: {error.strerror}") from error
