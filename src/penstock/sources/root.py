"""The watched folder itself: whether it is there, is the one that was watched, and since when."""

from __future__ import annotations

import asyncio
import os
import time

from penstock.core.errors import Refused, Unavailable
from penstock.core.ledger import baseline
from penstock.core.ports import Ledger
from penstock.sources.compare import Comparer
from penstock.sources.faults import shown

_CLOCK_REALTIME_COARSE = 5
"""The clock that the kernel takes files' times from; the ordinary one is up to a tick ahead of it."""
AWAY_S = 5.0
"""After how long to look again for a folder that is away."""


class Root:
    """The watched folder of one storage."""

    def __init__(self, path: bytes, storage: str, ledger: Ledger, compare: Comparer) -> None:
        self.path = path
        self._storage = storage
        self._ledger = ledger
        self._compare = compare

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

    async def check_not_unmounted(self, stat: os.stat_result) -> None:
        """Refuse to take an empty mount point for the deletion of all files."""
        known = self._ledger.file(self._storage, self.path)
        if known is None or known.inode == stat.st_ino or os.listdir(self.path):
            return
        async for _ in self._ledger.files(self._storage, self.path):
            raise Unavailable(
                f"folder {shown(self.path)} is empty and not the one that was watched before: "
                "mount its disk, or put a file into it if it was made anew",
                AWAY_S,
            )

    async def set_baseline(self, stat: os.stat_result) -> None:
        """Stage since when the folder is watched; the first time that is now."""
        row = self._ledger.file(self._storage, self.path)
        if row is None:
            row = baseline(self._storage, self.path, await _next_tick_ns(), stat.st_ino, done=False)
        self._compare.set_baseline(row)

    def listed(self) -> None:
        """Stage that everything in the folder was listed once."""
        known = self._ledger.file(self._storage, self.path)
        assert known is not None
        inode = self.stat().st_ino
        self._compare.set_baseline(baseline(self._storage, self.path, known.ctime_ns, inode, done=True))


async def _next_tick_ns() -> int:
    """Return a time, POSIX nanoseconds, that is later than that of any file changed before the call."""
    now = before = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    while now == before:
        await asyncio.sleep(0.001)
        now = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    return now
