"""From the kernel's notices to events.

Notices say where to look, never what happened: all that one read returned are first gathered by path,
then each path is looked at once and compared with the ledger. Folders are acted on in their order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from penstock.core.event import Event
from penstock.sources.compare import Comparer, stat_of
from penstock.sources.ignore import Ignore
from penstock.sources.inotify import Mask, Notice
from penstock.sources.lease import Writers
from penstock.sources.rescan import Fault, look
from penstock.sources.watches import Folder, Watches

# Plain numbers: arithmetic with IntFlag costs a microsecond each time.
MODIFY, ATTRIB, CLOSE_WRITE = int(Mask.MODIFY), int(Mask.ATTRIB), int(Mask.CLOSE_WRITE)
MOVED_FROM, MOVED_TO, CREATE, DELETE = (
    int(mask) for mask in (Mask.MOVED_FROM, Mask.MOVED_TO, Mask.CREATE, Mask.DELETE)
)
IGNORED, OVERFLOW, ISDIR = int(Mask.IGNORED), int(Mask.Q_OVERFLOW), int(Mask.ISDIR)
SELF = int(Mask.DELETE_SELF | Mask.MOVE_SELF)
ROOT_LOST = SELF | int(Mask.UNMOUNT)
REWRITTEN = 0x1_0000_0000
"""Our own mark: written to since it was last looked at, whatever its times say."""
WATCHED = ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | SELF | int(Mask.ONLYDIR)
_CONTENT = CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE


class Scans(Protocol):
    """Work that takes longer than a notice may."""

    def whole(self) -> None:
        """Compare the whole tree with the ledger."""

    def discover(self, folder: bytes) -> list[Event]:
        """Watch and list a folder that is new here; what takes longer follows in the background."""

    def moved(self, old: bytes, new: bytes) -> list[Event]:
        """Tell that the folder ``new`` was ``old``, and list it in the background."""

    def left(self, folder: bytes) -> None:
        """Compare the ledger below ``folder``, which is not here any more."""

    def wait_for_pair(self, cookie: int) -> None:
        """Call ``expire`` with this cookie a moment later."""


class Reader:
    """Turns notices into events.

    Args:
        root: The watched folder.
        watches: Its watches.
        compare: Compares with the ledger.
        ignore: What is nobody's business.
        scans: Takes what is too long for here.
        fault: Told of paths that cannot be read.
        waiting_max: Most paths remembered as created and not yet closed; beyond, the oldest are
            forgotten: a file among them that was linked here instead of written is found by the next rescan.
    """

    def __init__(
        self,
        root: bytes,
        watches: Watches,
        compare: Comparer,
        ignore: Ignore,
        scans: Scans,
        fault: Callable[[Fault], None],
        waiting_max: int,
    ) -> None:
        self._root = root
        self._watches = watches
        self._compare = compare
        self._ignore = ignore
        self._scans = scans
        self._fault = fault
        self._waiting_max = waiting_max
        self.root_lost = False
        self.created: dict[bytes, None] = {}
        """Created and not closed yet: being written, or linked here and never to be closed."""
        self.fenced: dict[bytes, os.stat_result] = {}
        """Attributes changed and nobody writes; told unless a notice already queued tells of writing."""
        self._writing: dict[bytes, None] = {}
        self._dirty: set[bytes] = set()
        self._masks: dict[bytes, int] = {}
        self._file_cookies: dict[int, bytes] = {}
        self._folder_cookies: dict[int, bytes] = {}
        self._moved_to: dict[bytes, bytes] = {}
        self._moved_from: dict[bytes, bytes] = {}

    def read(self, notices: Iterable[Notice]) -> list[Event]:
        """Return the events that these notices lead to, staged in the ledger."""
        events: list[Event] = []
        fenced, self.fenced = self.fenced, {}
        for notice in notices:
            if notice.mask & (ISDIR | IGNORED | OVERFLOW | ROOT_LOST):
                self._flush(events)
                self._folder_notice(notice, events)
            else:
                self._gather(notice, fenced)
        self._flush(events)
        for path, stat in fenced.items():
            self._tell(events, path, self._unless_changed, stat)
        return events

    def late(self, paths_max: int) -> list[Event]:
        """Return the events of files created a while ago and never closed: they were linked here."""
        events: list[Event] = []
        paths = list(self.created)[:paths_max]
        for path in paths:
            del self.created[path]
            self._tell(events, path, self._linked)
        return events

    def expire(self, cookie: int) -> None:
        """Take a folder that was moved away, and nowhere within the tree, for gone."""
        old = self._folder_cookies.pop(cookie, None)
        if old is not None:
            self._watches.remove(old)
            self._scans.left(old)

    # -- files ---------------------------------------------------------------------------------------

    def _gather(self, notice: Notice, fenced: dict[bytes, os.stat_result]) -> None:
        folder = self._watches.get(notice.watch)
        if folder is None or self._ignore(folder.below, notice.name):
            if notice.mask & MOVED_FROM:
                self._file_cookies.pop(notice.cookie, None)
            return
        path, mask = folder.prefix + notice.name, notice.mask
        if mask & MODIFY:
            self._dirty.add(path)
            return
        if mask & _CONTENT:
            fenced.pop(path, None)
        if mask & (DELETE | MOVED_FROM):
            # What was closed before is not there any more; a closing that follows counts anew.
            self._masks.pop(path, None)
            self._dirty.discard(path)
            if mask & MOVED_FROM:
                self._file_cookies[notice.cookie] = path
        elif mask & MOVED_TO:
            self._pair(notice.cookie, path)
        elif mask & CLOSE_WRITE and path in self._dirty:
            self._dirty.discard(path)
            mask |= REWRITTEN
        self._masks[path] = self._masks.get(path, 0) | mask

    def _pair(self, cookie: int, path: bytes) -> None:
        old = self._file_cookies.pop(cookie, None)
        if old is not None:
            self._moved_to[old], self._moved_from[path] = path, old

    def _flush(self, events: list[Event]) -> None:
        masks, self._masks = self._masks, {}
        for path, mask in masks.items():
            self._tell(events, path, self._file, mask)
        self._moved_to.clear()
        self._moved_from.clear()
        self._file_cookies.clear()

    def _file(self, path: bytes, mask: int) -> Event | None:
        if mask & _CONTENT:
            self.created.pop(path, None)
            self._writing.pop(path, None)
            return self._content(path, mask)
        if mask & CREATE:
            _remember(self.created, path, self._waiting_max)
        elif mask & ATTRIB:
            self._attributes(path)
        return None

    def _content(self, path: bytes, mask: int) -> Event | None:
        if mask & CLOSE_WRITE:
            stat = stat_of(path)
            if stat is not None:
                return self._compare.closed(path, stat, "closed", rewritten=bool(mask & REWRITTEN))
            self._recheck_siblings(path)
        elif mask & MOVED_TO:
            seen = look(path)
            if seen.stat is not None:
                return self._moved_here(path, seen.stat, seen.writers)
        elif stat_of(path) is not None:
            # Removed and there again: being written, or linked here, which nothing more would tell.
            _remember(self.created, path, self._waiting_max)
            return None
        moved_to = self._moved_to.get(path)
        return self._compare.gone(path, "deleted" if moved_to is None else "moved", moved_to)

    def _moved_here(self, path: bytes, stat: os.stat_result, state: Writers) -> Event | None:
        if state is Writers.SOME:
            return None  # Renamed while open; it counts when it is closed.
        return self._compare.closed(path, stat, "moved-here", moved_from=self._moved_from.get(path))

    def _attributes(self, path: bytes) -> None:
        if path in self.created or path in self._dirty:
            return
        stat = stat_of(path)
        if stat is None or self._compare.is_known(path, stat):
            return
        seen = look(path)
        if seen.stat is None or seen.writers is Writers.SOME:
            return
        if seen.writers is Writers.UNKNOWN:
            # Somebody may be writing: should he close the file, that counts whatever the times say.
            self._dirty.add(path)
        self.fenced[path] = seen.stat

    def _unless_changed(self, path: bytes, stat: os.stat_result) -> Event | None:
        now = stat_of(path)
        if now is None or now.st_ctime_ns != stat.st_ctime_ns:
            return None  # The notice of that change is on its way.
        return self._compare.attributes(path, now, "attributes")

    def _linked(self, path: bytes) -> Event | None:
        seen = look(path)
        if seen.stat is None:
            return None
        if seen.writers is Writers.NONE:
            return self._compare.closed(path, seen.stat, "linked")
        _remember(self._writing, path, self._waiting_max)
        return None

    def _recheck_siblings(self, path: bytes) -> None:
        """Look again at files being written beside ``path``: one may have been closed under that name.

        A nameless file (``O_TMPFILE``) that is linked into place keeps its nameless name until closed.
        """
        folder, _, name = path.rpartition(b"/")
        if name.startswith(b"#"):
            siblings = [other for other in self._writing if other.rpartition(b"/")[0] == folder]
            for other in siblings:
                del self._writing[other]
                _remember(self.created, other, self._waiting_max)

    def _tell(
        self, events: list[Event], path: bytes, decide: Callable[..., Event | None], *arguments: Any
    ) -> None:
        try:
            event = decide(path, *arguments)
        except OSError as error:
            self._fault(Fault(path, error.errno or 0, error.strerror or str(error)))
            return
        if event is not None:
            events.append(event)

    # -- folders -------------------------------------------------------------------------------------

    def _folder_notice(self, notice: Notice, events: list[Event]) -> None:
        if notice.mask & OVERFLOW:
            self.fenced.clear()
            self._scans.whole()
            return
        folder = self._watches.get(notice.watch)
        if folder is None:
            return
        if notice.mask & (ROOT_LOST | IGNORED):
            self._ended(notice, folder)
        elif not self._ignore(folder.below, notice.name):
            self._subfolder(folder.prefix + notice.name, notice, events)
        elif notice.mask & MOVED_TO and notice.cookie in self._folder_cookies:
            self.expire(notice.cookie)  # Renamed to an ignored name.

    def _ended(self, notice: Notice, folder: Folder) -> None:
        if folder.path == self._root:
            self.root_lost = True
        if notice.mask & IGNORED:
            self._watches.ended(notice.watch)

    def _subfolder(self, path: bytes, notice: Notice, events: list[Event]) -> None:
        if notice.mask & MOVED_FROM:
            self._folder_cookies[notice.cookie] = path
            self._scans.wait_for_pair(notice.cookie)
        elif notice.mask & MOVED_TO and notice.cookie in self._folder_cookies:
            old = self._folder_cookies.pop(notice.cookie)
            self._watches.rename(old, path)
            events.extend(self._scans.moved(old, path))
        elif notice.mask & (CREATE | MOVED_TO) or (notice.mask & ATTRIB and not self._watches.has(path)):
            events.extend(self._scans.discover(path))


def _remember(names: dict[bytes, None], path: bytes, most: int) -> None:
    if len(names) >= most:
        del names[next(iter(names))]
    names[path] = None
