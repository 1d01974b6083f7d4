"""Folders, watched and then listed: in this order nothing falls between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from penstock.core.errors import Refused
from penstock.core.event import json_data, notice_id, subject_of
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter, DeadLetterKind
from penstock.sources.dcache.frontend import Described, Frontend
from penstock.sources.dcache.rest import Odd
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.watches import Watches

FOLDER, FILE = "DIR", "REGULAR"
FLAGS = (
    "IN_CREATE", "IN_CLOSE_WRITE", "IN_MOVE", "IN_DELETE", "IN_DELETE_SELF", "IN_MOVE_SELF", "IN_ONLYDIR",
)  # fmt: skip
READS = "IN_CLOSE_NOWRITE"
Found = tuple[str, Described]
"""A file's path in the namespace, and what is there."""


class Walker:
    """Walks folders of one storage.

    Args:
        settings: Limits, flags.
        frontend: Asked.
        watches: Receives what is watched.
        root: Folder of the namespace that our login sees as ``/``, without a slash at its end.
        ignored: Whether an entry, by its path, is nobody's business.
        context: Whose dead letters are told of folders that cannot be watched.
    """

    def __init__(
        self,
        settings: DCacheSseSettings,
        frontend: Frontend,
        watches: Watches,
        root: str,
        ignored: Callable[[str], bool],
        context: SourceContext,
    ) -> None:
        self._settings = settings
        self._frontend = frontend
        self._watches = watches
        self._root = root
        self._ignored = ignored
        self._context = context
        self._flags = (*FLAGS, READS) if settings.reads else FLAGS

    async def walk(
        self, folders: Sequence[str], channel: str | None, *, only_new: bool = False
    ) -> AsyncIterator[list[Found]]:
        """Yield the files of folders and all below them, a page at a time.

        Args:
            folders: Where to begin; paths of the namespace.
            channel: Watches each folder before it is listed; None only lists.
            only_new: Leave out files of folders that this channel watches already: notices tell of them.
        """
        waiting = list(folders)
        while waiting:
            taken, waiting = waiting[: self._settings.queries], waiting[self._settings.queries :]
            firsts = await asyncio.gather(*(self._first(folder, channel) for folder in taken))
            for folder, (page, is_new) in zip(taken, firsts, strict=True):
                offset = 0
                while page:
                    files, below = self._sorted(folder, page)
                    waiting += below
                    if files and (is_new or not only_new):
                        yield files
                    offset += len(page)
                    full = len(page) >= self._settings.page
                    page = await self._page(folder, offset) if full else []

    async def _first(self, folder: str, channel: str | None) -> tuple[list[Described], bool]:
        is_new: bool | None = True
        if channel is not None:
            is_new = await self._watch(folder, channel)
        return ([], False) if is_new is None else (await self._page(folder, 0), is_new)

    async def _watch(self, folder: str, channel: str) -> bool | None:
        """Watch a folder; return whether it was not watched before, or None if it cannot be listed."""
        if folder in self._watches:
            return False
        if len(self._watches) >= self._settings.watches:
            self._limit(folder, "raise 'watches' in the settings, or watch fewer folders")
            return True
        try:
            subscription = await self._frontend.subscribe(channel, self.shown(folder), self._flags)
        except Refused as error:
            self._fault(folder, f"{error}; give this login the right to list it")
            return None
        except Odd as error:
            self._limit(folder, f"{error}. All watches of a frontend share one limit: watch fewer folders")
            return True
        if subscription is None:
            return None
        address, is_new = subscription
        self._watches.add(folder, address)
        return is_new

    async def _page(self, folder: str, offset: int) -> list[Described]:
        try:
            return await self._frontend.children(self.shown(folder), offset, self._settings.page)
        except Refused as error:
            self._fault(folder, f"{error}; give this login the right to list it")
        except Odd as error:
            self._fault(folder, f"it cannot be listed: {error}")
        return []

    def _sorted(self, folder: str, page: Sequence[Described]) -> tuple[list[Found], list[str]]:
        files, below = [], []
        for each in page:
            path = f"{folder.rstrip('/')}/{each.attributes.fileName}"
            if self._ignored(path):
                continue
            if each.attributes.fileType == FILE:
                files.append((path, each))
            elif each.attributes.fileType == FOLDER:
                below.append(path)
        return files, below

    def shown(self, path: str) -> str:
        """Return a path as our login sees it."""
        return path[len(self._root) :] or "/"

    def _limit(self, folder: str, remedy: str) -> None:
        """Say once, in one letter, that no further folder can be watched."""
        reason = f"{len(self._watches)} folders are watched already; so are those after it not. {remedy}"
        self._letter("watch-limit", folder, reason)

    def _fault(self, folder: str, reason: str) -> None:
        self._letter(folder, folder, reason)

    def _letter(self, identity: str, folder: str, reason: str) -> None:
        """Make a dead letter of a folder that is not watched; one identity makes one letter."""
        storage = self._settings.storage
        letter = DeadLetter(
            id=notice_id(storage, "unwatched", identity.encode()),
            tenant="",
            kind=DeadLetterKind.NOTICE,
            subject=subject_of(folder.encode()),
            reason=f"source {self._context.name!r}: {folder!r} is not watched: {reason}",
            body=bytes(json_data({"path": folder})),
            at_ns=time.time_ns(),
        )
        self._context.dead_letter(letter)
