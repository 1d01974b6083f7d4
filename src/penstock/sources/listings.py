"""What listings find, compared once more when it is told; see ``notices.Scans``."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.core.event import NEW_CONTENT, Event
from penstock.core.ports import Covered, CoveredSink
from penstock.sources.compare import Comparer, stat_of
from penstock.sources.describe import Describer
from penstock.sources.filesystems import FileSystems
from penstock.sources.folder_settings import FolderSettings
from penstock.sources.ignore import Ignore
from penstock.sources.lease import Writers
from penstock.sources.rescan import Fault, Look, Walk, look_at_all
from penstock.sources.root import Root
from penstock.sources.scans import Chunk, Scan, Scanner
from penstock.sources.watches import Watches


@dataclass(kw_only=True)
class Listings:
    """Asks for listings, and tells what they found.

    Args:
        root: The watched folder.
        settings: What is watched, and how.
        compare: Compares with the ledger.
        describe: Makes events.
        watches: Of its folders.
        scanner: Lists in the background.
        ignore: What is nobody's business.
        filesystems: Answers about the machine's file systems.
        fault: Told of paths that cannot be read.
        ready: Set when the whole tree was listed once.
        wait_for_pair: See ``notices.Scans``.
        covered: Told of each tree that was compared as a whole.

    Attributes:
        unsettled: Files that may be being written to, to be looked at again by ``settled``.
    """

    root: Root
    settings: FolderSettings
    compare: Comparer
    describe: Describer
    watches: Watches
    scanner: Scanner
    ignore: Ignore
    filesystems: FileSystems
    fault: Callable[[Fault], None]
    ready: asyncio.Event
    wait_for_pair: Callable[[int], None]
    covered: CoveredSink
    unsettled: dict[bytes, None] = field(default_factory=dict)
    devices: dict[int, str] = field(default_factory=dict)

    def whole(self) -> None:
        """Compare the whole tree with the ledger."""
        walk = self._walk(self.root.path)
        scan = Scan(walk=walk, missing_below=self.root.path, whole=True, may_predate=True, proves=True)
        self.scanner.ask(scan)

    def again(self, folder: bytes) -> None:
        """Compare a folder with the ledger once more."""
        self.scanner.ask(Scan(walk=self._walk(folder), missing_below=folder, proves=True))

    def discover(self, folder: bytes) -> list[Event]:
        """Watch and list a new folder, the first files at once and the rest in the background."""
        walk = self._walk(folder)
        step = walk.step(self.settings.inline_files)
        looks, faults = look_at_all([path for path, _ in step.files])
        scan = Scan(walk=walk)
        if not walk.done:
            self.scanner.ask(scan)
        return self.told(Chunk(scan=scan, looks=looks, faults=[*step.faults, *faults]))

    def moved(self, old: bytes, new: bytes) -> list[Event]:
        """Tell of a renamed folder; its files follow in the background.

        The old path is walked, too: there may be another folder by now, and its watch may have been
        taken for the renamed one's.
        """
        self.scanner.ask(Scan(walk=self._walk(new, old), missing_below=old, moved=(old, new)))
        try:
            return [self.describe.folder_moved(old, new, os.lstat(new))]
        except FileNotFoundError:
            return []

    def left(self, folder: bytes) -> None:
        """Tell in the background of the files of a folder that has left."""
        self.scanner.ask(Scan(walk=self._walk(folder), missing_below=folder))

    def _walk(self, *folders: bytes) -> Walk:
        return Walk(folders, self.watches.add, self.ignore, self._refusal)

    def settled(self) -> None:
        """Look again at the files that may have been written to when they were found."""
        paths, self.unsettled = tuple(self.unsettled), {}
        self.scanner.ask(Scan(paths=paths, may_predate=not self.ready.is_set()))

    def told(self, chunk: Chunk) -> list[Event]:
        """Return the events of what a step of a listing found, compared once more."""
        for fault in chunk.faults:
            self.fault(fault)
        tally = chunk.scan.tally
        tally.unread += len(chunk.faults)
        events = [event for seen in chunk.looks if (event := self._found(seen, chunk.scan))]
        tally.created += sum(event.type in NEW_CONTENT for event in events)
        if chunk.gone:
            self.root.check_watched()  # An unmounted disk is no deletion of its files.
            ended = [event for path in chunk.gone if (event := self._missing(path))]
            tally.deleted += len(ended)
            events += ended
        if chunk.last and chunk.scan.whole:
            self.root.listed()
            self.ready.set()
        if chunk.last and chunk.scan.proves:
            self.covered(self._covered(chunk.scan))
        return events

    def _covered(self, scan: Scan) -> Covered:
        tally = scan.tally
        return Covered(
            storage=self.settings.name,
            folder=scan.missing_below,
            begun_ns=tally.begun_ns,
            listed=tally.listed,
            created=tally.created,
            deleted=tally.deleted,
            unread=tally.unread,
        )

    def _found(self, seen: Look, scan: Scan) -> Event | None:
        if seen.stat is None or seen.writers is Writers.SOME:
            return None
        if seen.writers is Writers.UNKNOWN and 0 <= time.time() - seen.stat.st_ctime < self.settings.settle_s:
            self.unsettled[seen.path] = None
            return None
        try:
            now = stat_of(seen.path)
        except OSError as error:
            self.fault(Fault(seen.path, error.errno or 0, error.strerror or str(error)))
            return None
        if now is None or now.st_ctime_ns != seen.stat.st_ctime_ns:
            return None  # Changed since: the notice of that is on its way.
        if scan.moved is not None and seen.path.startswith(scan.moved[1] + b"/"):
            old, new = scan.moved
            return self.compare.moved_with_folder(seen.path, now, old + seen.path[len(new) :])
        return self.compare.found(seen.path, now, may_predate=scan.may_predate)

    def _missing(self, path: bytes) -> Event | None:
        try:
            present = stat_of(path) is not None
        except OSError:
            return None  # It cannot be asked, so it is not known to be gone.
        return None if present else self.compare.gone(path, "missing")

    def _refusal(self, folder: bytes) -> str:
        device = os.lstat(folder).st_dev
        if device not in self.devices:
            kind = self.filesystems.type_at(folder)
            foreign = self.filesystems.is_foreign(kind)
            self.devices[device] = f"it is on {kind}, where others' writes raise no notice" if foreign else ""
        return self.devices[device]
