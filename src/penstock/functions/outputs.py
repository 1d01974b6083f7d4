"""Where a worker's calls write: one folder for each call that writes anything.

Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import shutil

_LONG_AGO_NS = 10**9


class Outputs:
    """The folders of one worker's calls: ``0``, ``1``, … below ``root``.

    A call that wrote nothing leaves its folder to the next one. The folder of one that did is taken
    away by the engine while the next call runs already, in a new one.

    Attributes:
        number: Of the current folder.
        folder: Its path, with a slash at the end.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self.number = -1
        self.folder = ""
        self.renew()

    def renew(self) -> None:
        """Turn to a fresh, empty folder."""
        self.number += 1
        self.folder = f"{self._root}/{self.number}/"
        os.mkdir(self.folder)
        self._mark()

    def empty(self) -> bool:
        """Whether the current folder is empty; one that the function has removed is."""
        try:
            if os.stat(self.folder).st_mtime_ns == self._marked_ns:
                return True
            if os.listdir(self.folder):
                return False
        except FileNotFoundError:
            os.mkdir(self.folder)
        self._mark()
        return True

    def _mark(self) -> None:
        # Whatever is made in the folder sets its time to now. One system call tells, a listing takes five.
        os.utime(self.folder, ns=(_LONG_AGO_NS, _LONG_AGO_NS))
        self._marked_ns = os.stat(self.folder).st_mtime_ns

    def clear(self) -> None:
        """Empty the folder of a call that failed."""
        if not self.empty():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.renew()
