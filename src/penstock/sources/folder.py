"""A folder as a source of events: files that are closed after writing, moved, changed or deleted in it.

How the parts work together::

    inotify ─► notices (where to look) ─┬─► compare (with the ledger) ─► describe (event and row)
    scans (in a thread: rescan) ────────┘

``watching`` is one life of it, from the first watch to the last.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

from penstock.core.event import Event
from penstock.core.ports import CoveredSink, DeadLetterSink, Ledger
from penstock.sources.compare import Comparer, stat_of
from penstock.sources.describe import Describer, Published
from penstock.sources.filesystems import FileSystems
from penstock.sources.folder_settings import FolderSettings
from penstock.sources.root import Begun
from penstock.sources.watching import Watching

__all__ = ["FolderSettings", "FolderSource", "Published"]


class FolderSource:
    """``core.ports.Source`` for a folder on this machine.

    Args:
        settings: What is watched, and how.
        ledger: What is known of its files; read and staged from the event loop's thread only.
        dead_letter: Told of folders and files that cannot be read.
        published: Tells the run that has just published a file at a path, if one has.
        filesystems: Answers about the machine's file systems.
        moved: Tells the run behind an output that was at this path before its folder was renamed.
        begun: Told of device and inode of the folder, each time that it begins to be watched.
        covered: Told of each folder that was compared with the ledger.
    """

    def __init__(
        self,
        settings: FolderSettings,
        ledger: Ledger,
        dead_letter: DeadLetterSink,
        published: Published,
        filesystems: FileSystems | None = None,
        *,
        moved: Published = lambda _path, _stat: None,
        begun: Begun = lambda _device, _inode: None,
        covered: CoveredSink = lambda _covered: None,
    ) -> None:
        self.name = settings.name
        self.root = os.path.realpath(os.fsencode(settings.folder))
        self._settings = settings
        self._ledger = ledger
        self._dead_letter = dead_letter
        self._describe = Describer(settings.name, published, moved)
        self._compare = Comparer(settings.name, ledger, self._describe, tell_existing=settings.existing)
        self._filesystems = filesystems or FileSystems(settings.accept_filesystems)
        self._begun = begun
        self._covered = covered
        self._watching: Watching | None = None
        self._ready = asyncio.Event()

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield batches of events, all that is ready now. See ``core.ports.Source``.

        The rows behind a batch are staged in the ledger when it is yielded, without an await in
        between: a consumer that appends the batch before its own next await never commits a row
        whose event is not on its way to the log.

        Raises:
            Unavailable: The folder is away, or was taken away.
            Refused: It can never work like this: a network's file system, no permission, too few watches.
        """
        watching = Watching(
            self.root,
            self._settings,
            self._ledger,
            self._compare,
            self._describe,
            self._dead_letter,
            self._filesystems,
            self._ready,
            self._begun,
            self._covered,
        )
        self._watching = watching
        try:
            await watching.start()
            while not watching.ended:
                batch = watching.work()
                if batch:
                    yield batch
                elif not watching.has_work():
                    await watching.wait()
        finally:
            watching.stop()
            self._watching = None

    async def ready(self) -> None:
        """Return once the first listing is done: from then on the ledger knows every file.

        Somebody has to follow ``events`` meanwhile.
        """
        await self._ready.wait()

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield an event for every file that is there, under the id that its content has already.

        A file that changes meanwhile is left to ``events``, which tells of it under its new id; so
        who follows both gets each content under one id. Somebody has to follow ``events`` meanwhile.
        """
        await self.ready()
        paths: list[bytes] = []
        async for row in self._ledger.files(self.name, self.root):
            paths.append(row.path)
            if len(paths) >= self._settings.step_files:
                yield await self._listed(paths)
                paths = []
        if paths:
            yield await self._listed(paths)

    def compare(self, folder: bytes) -> None:
        """Compare a folder with the ledger, in the background; while it is not watched, that comes anyway."""
        if self._watching is not None:
            self._watching.compare(folder)

    async def close(self) -> None:
        """End ``events`` and let go of all watches."""
        if self._watching is not None:
            self._watching.end()

    async def _listed(self, paths: list[bytes]) -> list[Event]:
        stats = await asyncio.to_thread(_stats, paths)
        events = []
        for path, stat in stats:
            row = self._ledger.file(self.name, path)
            if row is not None and self._compare.is_known(path, stat):
                events.append(self._describe.listed(row, stat))
        return events


def _stats(paths: list[bytes]) -> list[tuple[bytes, os.stat_result]]:
    found = []
    for path in paths:
        try:
            stat = stat_of(path)
        except OSError:
            continue  # It can no longer be read; the source's rescan says so in the dead letters.
        if stat is not None:
            found.append((path, stat))
    return found
