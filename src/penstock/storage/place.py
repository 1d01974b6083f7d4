"""A storage's root folder, and whether it still is the one that is watched.

When its disk is unmounted, an empty folder of another disk is in its place: what is published there is hidden
as soon as the disk is back. So the root is opened and looked at before anything is put into it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.core.errors import Unavailable
from penstock.core.ledger import identity_of
from penstock.storage.beneath import FOLDER


class Place:
    """A storage's root. Its facts are set in the event loop's thread, and read in others.

    Args:
        name: Of the storage.
        path: Of its root, without links in it.
        before: What its source called it in an earlier life (``core.ledger.identity_of``); empty: unknown.
    """

    def __init__(self, name: str, path: bytes, before: str = "") -> None:
        self.name = name
        self.path = path
        self._before = before
        self._watched: tuple[int, int] | None = None

    def watched(self, device: int, inode: int) -> bool:
        """Its source watches this folder now. Returns whether it watched another one before."""
        before, self._watched = self._watched, (device, inode)
        return before is not None and before != self._watched

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the root; what is done in the descriptor is done in the folder that is watched.

        Raises:
            Unavailable: It is away, or another folder is in its place.
        """
        shown = self.path.decode("utf-8", "replace")
        try:
            handle = os.open(self.path, FOLDER)
        except OSError as error:
            raise Unavailable(
                f"the storage's folder {shown} is not there ({error.strerror}). Nothing is lost; put it back "
                "(mount it) and outputs go there by themselves"
            ) from error
        try:
            if not self._is_it(handle):
                raise Unavailable(
                    f"storage {self.name} is not what it was: {shown} is another folder than the one that is "
                    "watched. Unmounted? Nothing is lost; put it back (mount it) and outputs go there by "
                    "themselves"
                )
            yield handle
        finally:
            os.close(handle)

    def is_there(self) -> bool:
        """Whether the root is what it was. Blocks."""
        try:
            with self.opened():
                return True
        except Unavailable:
            return False

    def _is_it(self, handle: int) -> bool:
        stat = os.fstat(handle)
        if self._watched is not None:
            return self._watched == (stat.st_dev, stat.st_ino)
        # Devices are numbered anew at each start of the machine; file systems keep their own ids.
        return not self._before or self._before == identity_of(os.fstatvfs(handle).f_fsid, stat.st_ino)
