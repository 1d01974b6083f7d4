"""Lists folders of dCache's namespace, so that what was lost can be found."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

from penstock.core.ports import Listed, Look, Stamp
from penstock.core.rows import FileState
from penstock.sources.dcache.frontend import Attributes, Described, Frontend
from penstock.sources.dcache.settings import FrontendSettings
from penstock.sources.dcache.walk import FILE, FOLDER

PAGE = 1000
"""Entries asked for at once, and files handed over at once."""
Entry = tuple[bytes, Stamp | None]
"""A name (a folder's with a slash behind it), and a file's stamp."""


class NamespaceLister:
    """``core.ports.Lister`` for a dCache.

    Args:
        storage: Name of the storage.
        settings: The frontend.
        folders: What is listed, as our login sees it.
        ignored: Given the namespace's path of our root, says whether an entry is nobody's business.
        unfinished_s: An empty file without a checksum may be being written to for as long.
    """

    stamp = ("version",)

    def __init__(
        self,
        storage: str,
        settings: FrontendSettings,
        folders: Sequence[str],
        ignored: Callable[[str], Callable[[str], bool]],
        unfinished_s: float = 3600.0,
    ) -> None:
        self.storage = storage
        self._settings = settings
        self._folders = folders
        self._ignored_below = ignored
        self._unfinished_s = unfinished_s
        self._frontend: Frontend | None = None
        self._root = (settings.root or "").rstrip("/")

    async def trees(self) -> Sequence[bytes]:
        """See ``Lister``."""
        await self._open()
        return [(self._root + folder.rstrip("/") or "/").encode() for folder in self._folders]

    async def pages(self, folder: bytes) -> AsyncIterator[Sequence[Stamp]]:
        """See ``Lister``."""
        await self._open()
        page: list[Stamp] = []
        async for stamp in self._below(folder.decode().rstrip("/")):
            page.append(stamp)
            if len(page) >= PAGE:
                yield page
                page = []
        yield page

    async def _below(self, folder: str) -> AsyncIterator[Stamp]:
        levels = [Level(folder, await self._entries(folder), self._entries, self._settings.queries)]
        try:
            while levels:
                for name, stamp in levels[-1].entries:
                    if stamp is None:
                        inner, entries = await levels[-1].next()
                        assert inner.encode().endswith(b"/" + name[:-1])
                        levels.append(Level(inner, entries, self._entries, self._settings.queries))
                        break
                    yield stamp
                else:
                    levels.pop()
        finally:
            for level in levels:
                level.close()

    async def _entries(self, folder: str) -> list[Entry]:
        """Return what is in a folder, in the order that the paths below it have."""
        frontend = await self._open()
        ignored = self._ignored_below(self._root)
        found: list[Entry] = []
        offset = 0
        while True:
            page = await frontend.children(self._shown(folder), offset, PAGE)
            for each in page:
                path = f"{folder}/{each.attributes.fileName}"
                if not ignored(path):
                    found += _entry(path, each.attributes)
            offset += len(page)
            if len(page) < PAGE:
                return sorted(found)

    async def look(self, paths: Sequence[bytes]) -> Sequence[Listed | Look]:
        """See ``Lister``; the frontend answers a few questions at a time."""
        frontend = await self._open()

        async def one(path: bytes) -> Listed | Look:
            described = await frontend.describe(self._shown(path.decode()))
            if described is None or described.attributes.fileType != FILE:
                return Look.NOTHING
            return self._listed(path, described)

        return await asyncio.gather(*map(one, paths))

    def _listed(self, path: bytes, described: Described) -> Listed | Look:
        found = described.attributes
        if not (found.size or found.checksums) and time.time() - found.mtime / 1000 < self._unfinished_s:
            return Look.UNSETTLED  # dCache knows size and checksum when a file is closed.
        owner = {} if found.owner is None else {"uid": found.owner}
        groups = {} if found.group is None else {"gids": [found.group]}
        return Listed(
            path=path,
            size=found.size,
            mtime_ns=found.mtime * 1_000_000,
            born_ns=found.creationTime * 1_000_000,
            version=found.pnfsId,
            checksum={each.type.lower(): each.value for each in found.checksums} or None,
            owner=owner | groups or None,
            origin=described.raw,
        )

    def is_same(self, stamp: Stamp, known: FileState) -> bool:  # noqa: ARG002 - see below
        """See ``Lister``: versions say it all."""
        return False

    async def close(self) -> None:
        """See ``Lister``; the token is read anew for the next listing."""
        frontend, self._frontend = self._frontend, None
        if frontend is not None:
            await frontend.__aexit__(None, None, None)

    async def _open(self) -> Frontend:
        if self._frontend is None:
            self._frontend = await Frontend(self._settings).__aenter__()
            self._root = await self._frontend.root()
        return self._frontend

    def _shown(self, path: str) -> str:
        return path[len(self._root) :] or "/"


class Level:
    """A folder on the way down; some of the folders in it are asked for ahead.

    Args:
        folder: Its path.
        entries: What is in it.
        ask: Returns what is in a folder.
        ahead: Most folders asked for ahead.
    """

    def __init__(
        self,
        folder: str,
        entries: Sequence[Entry],
        ask: Callable[[str], Coroutine[Any, Any, list[Entry]]],
        ahead: int,
    ) -> None:
        self.entries = iter(entries)
        self._folders: Iterator[str] = (
            f"{folder}/{name[:-1].decode()}" for name, stamp in entries if stamp is None
        )
        self._ask = ask
        self._ahead = ahead
        self._asked: deque[tuple[str, asyncio.Task[list[Entry]]]] = deque()

    async def next(self) -> tuple[str, list[Entry]]:
        """Return the next folder in it, and what is in that."""
        while len(self._asked) < self._ahead and (folder := next(self._folders, None)) is not None:
            self._asked.append((folder, asyncio.create_task(self._ask(folder))))
        folder, task = self._asked.popleft()
        return folder, await task

    def close(self) -> None:
        """Let go of what was asked for."""
        for _, task in self._asked:
            task.cancel()


def _entry(path: str, found: Attributes) -> list[Entry]:
    name = found.fileName.encode()
    if found.fileType == FOLDER:
        return [(name + b"/", None)]
    return [(name, (path.encode(), found.pnfsId))] if found.fileType == FILE else []
