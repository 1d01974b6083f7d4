"""Removes folders in a thread of its own: a function may have written a great many files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Sweeper:
    """Removes folders one after the other; the thread starts with the first and sleeps between them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "penstock-sweep")
        self._closed = False

    def remove(self, folder: str) -> None:
        """Remove a folder and all in it, soon; one that is not there is fine."""
        self.call(remove_tree, folder)

    def call(self, remove: Callable[[str], None], path: str) -> None:
        """Remove something else in the same thread; after ``close`` at once."""
        if self._closed:
            remove(path)
        else:
            self._thread.submit(remove, path)

    def close(self) -> None:
        """Finish what was asked for. Blocks."""
        self._closed = True
        self._thread.shutdown()


def remove_tree(folder: str) -> None:
    """Remove a folder, also where its owner has forbidden it to themselves. Follows no link."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.isdir(folder):
        return
    for below, names, _ in os.walk(folder):
        for path in (below, *(os.path.join(below, name) for name in names)):
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
