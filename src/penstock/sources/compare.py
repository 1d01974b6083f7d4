"""What changed: a file as it is against the ledger's row. What is returned has been staged there.

States are compared, not notices: a notice that is late, doubled or lost changes when something is
told, never what. So a rescan tells the same, under the same ids, as the notices would have.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from msgspec.structs import replace

from penstock.core.event import Event
from penstock.core.ledger import is_listed
from penstock.core.ports import Ledger
from penstock.core.rows import FileState
from penstock.sources.describe import MOVED_WITH_FOLDER, Describer, Told


class Comparer:
    """Compares one storage's files with its ledger.

    Args:
        storage: Its name.
        ledger: What is known.
        describe: Makes events and rows.
        tell_existing: Whether files older than the baseline raise events, too.
    """

    def __init__(self, storage: str, ledger: Ledger, describe: Describer, *, tell_existing: bool) -> None:
        self._storage = storage
        self._ledger = ledger
        self._describe = describe
        self._tell_existing = tell_existing
        self._baseline: FileState | None = None

    def set_baseline(self, row: FileState) -> None:
        """Stage the row that says which files were there before anybody asked."""
        self._baseline = row
        self._ledger.put(row)

    def is_known(self, path: bytes, stat: os.stat_result) -> bool:
        """Whether the ledger has just this state of the path."""
        before = self._ledger.file(self._storage, path)
        return before is not None and before.present and _same(before, stat)

    def closed(
        self,
        path: bytes,
        stat: os.stat_result,
        notice: str,
        *,
        rewritten: bool = False,
        moved_from: bytes | None = None,
    ) -> Event | None:
        """Return the event for a file that was closed after writing, linked or moved here.

        Args:
            path: Where.
            stat: Its state.
            notice: What told of it.
            rewritten: Whether it was surely written to, though its state may look the same.
            moved_from: Where it was before.
        """
        before = self._ledger.file(self._storage, path)
        if before is not None and before.present and not rewritten and _same(before, stat):
            return None
        return self._stage(self._describe.content(path, stat, before, notice, moved_from))

    def found(self, path: bytes, stat: os.stat_result, *, may_predate: bool) -> Event | None:
        """Return the event for a file that a listing found, if it tells anything new.

        Args:
            path: Where.
            stat: Its state; nobody is writing to it.
            may_predate: Whether a file older than the baseline is taken in without an event.
        """
        before = self._ledger.file(self._storage, path)
        if before is None and may_predate and self._is_older_than_baseline(stat):
            self._ledger.put(self._describe.untold(path, stat))
            return None
        if before is not None and before.present and _same_content(before, stat):
            return self.attributes(path, stat, "found")
        return self.closed(path, stat, "found")

    def attributes(self, path: bytes, stat: os.stat_result, notice: str) -> Event | None:
        """Return the event for a file whose attributes, times included, changed outside of any writing."""
        before = self._ledger.file(self._storage, path)
        if before is None or not before.present or _same(before, stat):
            return None
        if (before.inode, before.size) != (stat.st_ino, stat.st_size):
            return None  # Other content: the notice of its closing is on its way.
        return self._stage(self._describe.attributes(before, stat, notice))

    def gone(self, path: bytes, notice: str, moved_to: bytes | None = None) -> Event | None:
        """Return the event for a path at which there is no regular file any more."""
        before = self._ledger.file(self._storage, path)
        if before is None or not before.present:
            return None
        return self._stage(self._describe.gone(before, notice, moved_to))

    def moved_with_folder(self, path: bytes, stat: os.stat_result, old_path: bytes) -> Event | None:
        """Return the event for a file of a renamed folder; nobody is told that its old path is empty."""
        old = self._ledger.file(self._storage, old_path)
        event = self.closed(path, stat, MOVED_WITH_FOLDER, moved_from=None if old is None else old_path)
        if old is not None and old.present and stat_of(old_path) is None:
            self._ledger.put(replace(old, present=False, event_id=""))
        return event

    def _is_older_than_baseline(self, stat: os.stat_result) -> bool:
        baseline = self._baseline
        if self._tell_existing or baseline is None or is_listed(baseline):
            return False
        return stat.st_ctime_ns < baseline.ctime_ns

    def _stage(self, told: Told) -> Event:
        event, row = told
        self._ledger.put(row)
        return event


def stat_of(path: bytes) -> os.stat_result | None:
    """Return the state of the regular file at ``path``; None if there is none (any more).

    Raises:
        OSError: It cannot be asked, such as for want of permission.
    """
    try:
        stat = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat if S_ISREG(stat.st_mode) else None


def _same(before: FileState, stat: os.stat_result) -> bool:
    return before.ctime_ns == stat.st_ctime_ns and _same_content(before, stat)


def _same_content(before: FileState, stat: os.stat_result) -> bool:
    return before.mtime_ns == stat.st_mtime_ns and before.inode == stat.st_ino and before.size == stat.st_size
