"""Which watch stands for which folder, also after folders were renamed."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from penstock.core.event import subject_of
from penstock.sources.inotify import Inotify


@dataclass(frozen=True, slots=True)
class Folder:
    """A watched folder, with what its files' events need of it."""

    path: bytes
    prefix: bytes
    """``path`` with a slash behind it."""
    below: bytes
    """``prefix`` relative to the watched root; empty for the root itself."""
    key: str
    """The path percent-encoded: the partition key of its files' events."""


class Watches:
    """The table of watches. ``add`` may be called from the listing thread, the rest from the loop's.

    A folder that the listing thread adds under a path that is renamed at that moment is added again,
    under its new path, by the listing that follows each rename.
    """

    def __init__(self, inotify: Inotify, root: bytes, mask: int) -> None:
        self._inotify = inotify
        self._root = root
        self._mask = mask
        # Between the kernel's new watch and its place in the table its first notice may be read.
        self._lock = threading.Lock()
        self._folders: dict[int, Folder] = {}
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._folders)

    def add(self, path: bytes) -> Folder:
        """Watch a folder, or take note of the new path of one that is watched.

        Raises:
            OSError: As ``Inotify.add``.
        """
        with self._lock:
            number = self._inotify.add(path, self._mask)
            before = self._folders.get(number)
            if before is None or before.path != path:
                self._assign(number, path, before)
            return self._folders[number]

    def _assign(self, number: int, path: bytes, before: Folder | None) -> None:
        stale = self._numbers.get(path)
        self._folders[number] = self._described(path)
        self._numbers[path] = number
        if before is not None and self._numbers.get(before.path) == number:
            del self._numbers[before.path]
        if stale is not None and stale != number:
            # Another folder had this path and was moved without our knowing; it is found elsewhere.
            self._folders.pop(stale, None)
            self._inotify.remove(stale)

    def get(self, number: int) -> Folder | None:
        """Return the folder of a watch, or None for one that has ended."""
        folder = self._folders.get(number)
        if folder is None:
            with self._lock:
                folder = self._folders.get(number)
        return folder

    def has(self, path: bytes) -> bool:
        """Whether a folder is watched under this path."""
        return path in self._numbers

    def rename(self, old: bytes, new: bytes) -> None:
        """Let the folder ``old`` and all below it be found under ``new``."""
        with self._lock:
            for number, path in self._at_and_below(old):
                folder = self._described(new + path[len(old) :])
                self._folders[number] = folder
                self._numbers.pop(path, None)
                self._numbers[folder.path] = number

    def remove(self, path: bytes) -> None:
        """Stop watching a folder and all below it: it has left the tree."""
        with self._lock:
            for number, below in self._at_and_below(path):
                self._folders.pop(number, None)
                self._numbers.pop(below, None)
                self._inotify.remove(number)

    def ended(self, number: int) -> None:
        """Forget a watch that the kernel has ended."""
        with self._lock:
            folder = self._folders.pop(number, None)
            if folder is not None and self._numbers.get(folder.path) == number:
                del self._numbers[folder.path]

    def _at_and_below(self, path: bytes) -> list[tuple[int, bytes]]:
        prefix = path + b"/"
        return [
            (number, folder.path)
            for number, folder in self._folders.items()
            if folder.path == path or folder.path.startswith(prefix)
        ]

    def _described(self, path: bytes) -> Folder:
        prefix = path if path.endswith(b"/") else path + b"/"
        return Folder(path, prefix, prefix[len(self._root.rstrip(b"/")) + 1 :], subject_of(path))
