"""A folder source that is followed, for tests: collect until something is told, never sleep."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec import UnsetType

from penstock.core.event import (
    FILE_CREATED,
    NEW_CONTENT,
    Event,
    FileRecord,
    file_record,
    path_of,
)
from penstock.core.rows import DeadLetter
from penstock.sources.filesystems import FileSystems
from penstock.sources.folder import FolderSettings, FolderSource, Published
from penstock.testing.ledger import MemoryLedger

SENTINEL = "sentinel"


class FollowedFolder:
    """A folder source that is followed, and everything it has told.

    Attributes:
        told: Its events, in order.
        letters: Its dead letters.

    ``async with FollowedFolder(folder, ledger) as following`` waits for the first listing.
    """

    def __init__(
        self,
        folder: Path,
        ledger: MemoryLedger | None = None,
        *,
        published: Published | None = None,
        filesystems: FileSystems | None = None,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.told: list[Event] = []
        self.letters: list[DeadLetter] = []
        self.source = FolderSource(
            FolderSettings(folder=str(folder), **settings),
            self.ledger,
            self.letters.append,
            published or _by_nobody,
            filesystems,
        )
        self._news = asyncio.Condition()
        self._sentinels = 0

    async def __aenter__(self) -> FollowedFolder:
        self._task = asyncio.create_task(self._follow())
        ready = asyncio.create_task(self.source.ready())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self._task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.source.close()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self) -> None:
        async for batch in self.source.events():
            async with self._news:
                self.told.extend(batch)
                self._news.notify_all()

    async def until(self, holds: Callable[[list[Event]], bool]) -> list[Event]:
        """Return what was told once ``holds`` says so; raise what ended the source instead."""
        async with self._news:
            waiting = asyncio.ensure_future(self._news.wait_for(lambda: holds(self.told)))
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                with suppress(asyncio.CancelledError):
                    await waiting
                self._task.result()
                raise AssertionError("the source ended")
        return self.told

    async def ended(self) -> None:
        """Return when the source has ended, or raise why."""
        await self._task

    async def settled(self) -> list[Event]:
        """Return what was told until a file written now is told of, that file left out."""
        self._sentinels += 1
        path = self.folder / f"{SENTINEL}-{self._sentinels}"
        path.write_text("now")
        wanted = str(path)
        await self.until(lambda told: any(text_path(event) == wanted for event in told))
        return [event for event in self.told if SENTINEL not in text_path(event)]


def record(event: Event) -> FileRecord:
    """Return the file record in an event."""
    assert not isinstance(event.data, UnsetType)
    return file_record(event)


def text_path(event: Event) -> str:
    """Return the path that an event is about, undecodable bytes as surrogates."""
    assert event.subject is not None
    return os.fsdecode(path_of(event.subject))


def kinds(events: Iterable[Event]) -> list[tuple[str, str]]:
    """``(kind, name)`` of each event, the kind without its prefix."""
    return [
        (event.type.removeprefix("penstock.file."), os.path.basename(text_path(event))) for event in events
    ]


def contents(events: Iterable[Event]) -> list[Event]:
    """Those that tell of new content."""
    return [event for event in events if event.type in NEW_CONTENT]


def paths_created(events: Iterable[Event]) -> set[str]:
    """Return the paths of those that tell of a file's birth."""
    return {text_path(event) for event in events if event.type == FILE_CREATED}


def _by_nobody(_path: bytes, _stat: os.stat_result) -> None:
    return None
