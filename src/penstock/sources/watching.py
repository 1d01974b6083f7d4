"""One life of the folder source: from the first watch to the last.

Everything between a notice and its event is one synchronous step (``work``): the state of the file is
read, compared, and its row staged. Listings hand over what they found to the same step. Nothing here
wakes up by itself: timers are set for one thing each, when there is that thing to wait for.
"""

from __future__ import annotations

import asyncio
import errno
import os

from penstock.core.errors import Refused
from penstock.core.event import Event
from penstock.core.ports import CoveredSink, DeadLetterSink, Ledger
from penstock.sources.compare import Comparer
from penstock.sources.describe import Describer
from penstock.sources.faults import shown, tell, too_few_watches
from penstock.sources.filesystems import FileSystems
from penstock.sources.folder_settings import FolderSettings
from penstock.sources.ignore import Ignore
from penstock.sources.inotify import Inotify, Notice, parse
from penstock.sources.listings import Listings
from penstock.sources.mounts import Mounts
from penstock.sources.notices import MODIFY, WATCHED, Reader
from penstock.sources.rescan import Fault
from penstock.sources.root import Begun, Root
from penstock.sources.scans import Scanner
from penstock.sources.watches import Watches

LATE_S = 0.02
"""How long after its creation an unclosed file is looked at: it may have been linked, not written."""
PAIR_S = 0.05
"""How long the second half of a folder's rename may take to come."""


class Watching:
    """See the module. Made, started, worked and stopped by ``FolderSource.events``."""

    def __init__(
        self,
        root: bytes,
        settings: FolderSettings,
        ledger: Ledger,
        compare: Comparer,
        describe: Describer,
        dead_letter: DeadLetterSink,
        filesystems: FileSystems,
        ready: asyncio.Event,
        begun: Begun,
        covered: CoveredSink,
    ) -> None:
        self.ended = False
        self._root = root
        self._folder = Root(root, settings.name, ledger, compare, begun)
        self._settings = settings
        self._ledger = ledger
        self._compare = compare
        self._describe = describe
        self._dead_letter = dead_letter
        self._filesystems = filesystems
        self._ready = ready
        self._covered = covered
        self._ignore = Ignore(settings.ignore)
        self._buffers: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._late_due = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._inotify: Inotify | None = None
        self._mounts: Mounts | None = None

    # -- life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Watch the folder and begin to list it.

        Raises:
            Refused, Unavailable: As ``FolderSource.events``.
        """
        self._loop = asyncio.get_running_loop()
        self._folder.stat()
        self._filesystems.check(self._root, self._is_ignored_path)
        await self._folder.check_not_unmounted(self._ignore)
        self._inotify, self._mounts = Inotify(), Mounts()
        fine = self._filesystems.has_fine_clock(self._root)
        self._watches = Watches(self._inotify, self._root, WATCHED if fine else WATCHED | MODIFY)
        self._watch_root()
        self._scanner = Scanner(
            self._settings.name, self._ledger, self._compare, self._settings.step_files, self._wake
        )
        self._listings = Listings(
            root=self._folder,
            settings=self._settings,
            compare=self._compare,
            describe=self._describe,
            watches=self._watches,
            scanner=self._scanner,
            ignore=self._ignore,
            filesystems=self._filesystems,
            fault=self._fault,
            ready=self._ready,
            wait_for_pair=self._wait_for_pair,
            covered=self._covered,
        )
        self._reader = Reader(
            self._root,
            self._watches,
            self._compare,
            self._ignore,
            self._listings,
            self._fault,
            self._settings.waiting_files_max,
        )
        await self._folder.set_baseline()
        self._listings.whole()
        self._loop.add_reader(self._inotify.fd, self._on_readable)
        self._loop.add_reader(self._mounts.fd, self._on_mounts)
        self._task = self._loop.create_task(self._scanner.run(), name=f"scans of {self._settings.name}")
        self._task.add_done_callback(lambda _: self._wake())

    def work(self) -> list[Event]:
        """Return the events of all that is ready now, their rows staged. Reads the disk, waits for nothing.

        Raises:
            Refused, Unavailable: As ``FolderSource.events``.
        """
        events: list[Event] = []
        if self._buffers or self._reader.fenced:
            events += self._reader.read(self._notices())
        if self._late_due:
            self._late_due = False
            events += self._reader.late(self._settings.inline_files)
        chunk = self._scanner.take()
        if chunk is not None:
            events += self._listings.told(chunk)
        self._prepare_next()
        if not events:
            self._raise_what_ended_it()
        return events

    def compare(self, folder: bytes) -> None:
        """Compare a folder with the ledger once more, in the background."""
        self._listings.again(folder)

    def has_work(self) -> bool:
        """Whether ``work`` has anything to do."""
        return bool(
            self.ended or self._buffers or self._reader.fenced or self._late_due or self._scanner.has_chunk
        )

    async def wait(self) -> None:
        """Return once there is work."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def end(self) -> None:
        """Let ``events`` end."""
        self.ended = True
        self._wake()

    def stop(self) -> None:
        """Drop everything; waits milliseconds for a listing's step under way."""
        for timer in self._timers.values():
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            self._scanner.close()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            self._inotify.close()
        if self._mounts is not None:
            self._loop.remove_reader(self._mounts.fd)
            self._mounts.close()

    # -- notices -------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        assert self._inotify is not None
        self._keep(self._inotify.read())
        if self._buffered > self._settings.notice_bytes_max:
            # The consumer is behind. The kernel keeps what follows, and says so should it overflow.
            self._loop.remove_reader(self._inotify.fd)
            self._paused = True
        self._wake()

    def _on_mounts(self) -> None:
        assert self._mounts is not None
        self._mounts.seen()
        if not self._folder.is_watched():
            self._reader.root_lost = True
            self._wake()

    def _keep(self, buffer: bytes) -> None:
        if buffer:
            self._buffers.append(buffer)
            self._buffered += len(buffer)

    def _notices(self) -> list[Notice]:
        buffers, self._buffers, self._buffered = self._buffers, [], 0
        return parse(b"".join(buffers))

    def _prepare_next(self) -> None:
        assert self._inotify is not None
        if self._reader.fenced:
            # Nobody writes to these files now: whoever did has queued his notice before. Read them all.
            while buffer := self._inotify.read():
                self._keep(buffer)
        if self._paused:
            self._paused = False
            self._loop.add_reader(self._inotify.fd, self._on_readable)
        if self._reader.created:
            self._once("late", LATE_S, self._on_late)
        if self._listings.unsettled:
            self._once("settle", self._settings.settle_s, self._listings.settled)

    def _once(self, name: str, delay_s: float, call: object) -> None:
        if name not in self._timers:
            self._timers[name] = self._loop.call_later(delay_s, self._fire, name, call)

    def _fire(self, name: str, call: object) -> None:
        del self._timers[name]
        assert callable(call)
        call()

    def _on_late(self) -> None:
        self._late_due = True
        self._wake()

    def _wait_for_pair(self, cookie: int) -> None:
        """Take a folder for gone if the second half of its rename does not come."""
        self._once(f"pair {cookie}", PAIR_S, lambda: self._reader.expire(cookie))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what goes wrong -----------------------------------------------------------------------------

    def _watch_root(self) -> None:
        try:
            self._watches.add(self._root)
            os.listdir(self._root)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise Refused(too_few_watches(self._root, 1)) from error
            raise Refused(
                f"folder {shown(self._root)} cannot be watched: {error.strerror}; "
                "let the user that runs Penstock read it (setfacl -m u:USER:rx FOLDER)"
            ) from error

    def _raise_what_ended_it(self) -> None:
        if self._reader.root_lost:
            raise self._folder.lost()
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    def _fault(self, fault: Fault) -> None:
        starting = not self._ready.is_set()
        tell(self._settings.name, self._dead_letter, fault, watched=len(self._watches), starting=starting)

    def _is_ignored_path(self, path: bytes) -> bool:
        parts = path[len(self._root.rstrip(b"/")) + 1 :].split(b"/")
        below = [b"".join(part + b"/" for part in parts[:depth]) for depth in range(len(parts))]
        return any(self._ignore(folder, name) for folder, name in zip(below, parts, strict=True))
