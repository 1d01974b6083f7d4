"""The watched folder itself: whether it is there, is the one that was watched, and since when."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from penstock.core.errors import Refused, Unavailable
from penstock.core.ledger import baseline, identity_of
from penstock.core.ports import Ledger
from penstock.core.rows import FileState
from penstock.sources.compare import Comparer
from penstock.sources.faults import shown
from penstock.sources.ignore import Ignore

_CLOCK_REALTIME_COARSE = 5
"""The clock that the kernel takes files' times from; the ordinary one is up to a tick ahead of it."""
AWAY_S = 5.0
"""After how long to look again for a folder that is away."""


Begun = Callable[[int, int], object]
"""Told of the device and inode of a folder that is watched from now on."""


class Root:
    """The watched folder of one storage."""

    def __init__(self, path: bytes, storage: str, ledger: Ledger, compare: Comparer, begun: Begun) -> None:
        self.path = path
        self._storage = storage
        self._ledger = ledger
        self._compare = compare
        self._begun = begun
        self._watched = 0, 0

    def stat(self) -> os.stat_result:
        """Return the folder's state.

        Raises:
            Unavailable: It is away.
            Refused: It is no folder.
        """
        try:
            stat = os.stat(self.path)
        except OSError as error:
            raise Unavailable(
                f"folder {shown(self.path)}: {error.strerror}; create it, or mount its disk", AWAY_S
            ) from error
        if not os.path.isdir(self.path):
            raise Refused(f"{shown(self.path)} is no folder; name the folder to watch")
        return stat

    async def check_not_unmounted(self, ignore: Ignore) -> None:
        """Refuse to take an empty mount point for the deletion of all files."""
        known = self._ledger.file(self._storage, self.path)
        if known is None or self._is(known):
            return
        if any(not ignore(b"", name) for name in os.listdir(self.path)):
            return
        async for _ in self._ledger.files(self._storage, self.path):
            raise Unavailable(
                f"folder {shown(self.path)} is empty and not the one that was watched before: "
                "mount its disk, or put a file into it if it was made anew",
                AWAY_S,
            )

    def _is(self, known: FileState) -> bool:
        inode = self.stat().st_ino
        return known.version == self._identity(inode) if known.version else known.inode == inode

    def _identity(self, inode: int) -> str:
        return identity_of(os.statvfs(self.path).f_fsid, inode)

    async def set_baseline(self) -> None:
        """Stage since when the folder is watched; the first time that is now."""
        row = self._ledger.file(self._storage, self.path)
        stat = self.stat()
        if row is None:
            since_ns, inode = await _next_tick_ns(), stat.st_ino
            row = baseline(self._storage, self.path, since_ns, inode, self._identity(inode), done=False)
        self._compare.set_baseline(row)
        self._watched = stat.st_dev, stat.st_ino
        self._begun(*self._watched)

    def is_watched(self) -> bool:
        """Whether the folder that is there now is the one that is watched."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return False
        return (stat.st_dev, stat.st_ino) == self._watched

    def check_watched(self) -> None:
        """Return if the folder that is there now is the one that is watched.

        Raises:
            Unavailable: It is not.
        """
        if not self.is_watched():
            raise self.lost()

    def lost(self) -> Unavailable:
        """Return the error that says that it is not there any more."""
        return Unavailable(
            f"folder {shown(self.path)} was deleted, moved or unmounted while it was watched; "
            "put it back, and the files that changed meanwhile will be found",
            AWAY_S,
        )

    def listed(self) -> None:
        """Stage that everything in the folder was listed once."""
        known = self._ledger.file(self._storage, self.path)
        assert known is not None
        inode = self.stat().st_ino
        identity = self._identity(inode)
        row = baseline(self._storage, self.path, known.ctime_ns, inode, identity, done=True)
        self._compare.set_baseline(row)


async def _next_tick_ns() -> int:
    """Return a time, POSIX nanoseconds, that is later than that of any file changed before the call."""
    now = before = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    while now == before:
        await asyncio.sleep(0.001)
        now = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    return now
