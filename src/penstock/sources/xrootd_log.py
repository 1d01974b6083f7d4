"""The log of an XRootD server, read for one thing: that it has dropped notices. Only there it says so."""

from __future__ import annotations

import os
from pathlib import Path

DROPPED = b"event notification not sent"
"""Part of the line; the server writes it for the first notice it drops, then for every 256th."""
READ_BYTES = 1 << 20
NEVER = "-1:0"
"""Position before the log was ever looked at: it is read from its end."""


class ServerLog:
    """A log file that grows, and is replaced now and then.

    Args:
        path: Of the file.
        position: ``INODE:OFFSET`` up to which it was read.
    """

    def __init__(self, path: Path, position: str = NEVER) -> None:
        self._path = path
        inode, _, offset = position.partition(":")
        self._inode, self._offset = int(inode), int(offset)

    @property
    def position(self) -> str:
        """Up to where it was read."""
        return f"{self._inode}:{self._offset}"

    def drops(self) -> list[str]:
        """Return the lines about dropped notices that are new. Reads the file.

        A file that is not there has none; one that was replaced is read from its beginning.
        """
        found: list[str] = []
        try:
            with self._path.open("rb") as file:
                self._find(file.fileno())
                file.seek(self._offset)
                while text := file.read(READ_BYTES):
                    whole = text[: text.rfind(b"\n") + 1] or (text if len(text) == READ_BYTES else b"")
                    if not whole:
                        break
                    self._offset += len(whole)
                    file.seek(self._offset)
                    found += [_shown(line) for line in whole.splitlines() if DROPPED in line]
        except FileNotFoundError:
            pass
        return found

    def _find(self, descriptor: int) -> None:
        """Go to where reading goes on."""
        stat = os.fstat(descriptor)
        if self._inode == -1:
            self._inode, self._offset = stat.st_ino, stat.st_size
        elif self._inode != stat.st_ino or self._offset > stat.st_size:
            self._inode, self._offset = stat.st_ino, 0


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()[:300]
