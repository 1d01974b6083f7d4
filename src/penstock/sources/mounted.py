"""Lists a tree that is mounted here: GPFS, NFS, dCache over NFS, the folder behind an XRootD server.

A content's version is made of inode, modification time and size: it follows the content through renames.
"""

from __future__ import annotations

import asyncio
import os
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from stat import S_ISREG

from msgspec import Struct

from penstock.core.errors import Refused, Unavailable
from penstock.core.ports import Listed, Look, Stamp
from penstock.core.reconcile import is_near
from penstock.core.rows import FileState
from penstock.sources.ignore import HIDDEN_AND_TEMPORARY, Ignore

PAGE = 2000
"""Files handed over at once."""
_GONE = (FileNotFoundError, NotADirectoryError)


class MountedSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the storage's files can be seen on this machine.

    Attributes:
        folder: Absolute path of the folder here.
        path: The same folder as the storage's notices name it; default: the same.
        ignore: Names (or, with ``/``, paths below the folder) that raise no events; default: hidden and
            temporary ones.
        settle_s: A file that changed within so many seconds may still be being written to.
        retry_s: How long to wait when the folder is away.
    """

    folder: str
    path: str = ""
    ignore: tuple[str, ...] = HIDDEN_AND_TEMPORARY
    settle_s: float = 5.0
    retry_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what is no folder."""
        for name in (self.folder, self.path or "/"):
            if not name.startswith("/"):
                raise ValueError(f"{name!r}: expected an absolute path")


class MountedLister:
    """``core.ports.Lister`` for a folder that is mounted here.

    Args:
        storage: Name of the storage.
        settings: Where it is.
    """

    stamp = ("size", "mtime_ns")

    def __init__(self, storage: str, settings: MountedSettings) -> None:
        self.storage = storage
        self._settings = settings
        self._here = os.fsencode(settings.folder).rstrip(b"/")
        self._there = os.fsencode(settings.path or settings.folder).rstrip(b"/")
        self._ignore = Ignore(settings.ignore)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-listing")

    async def trees(self) -> Sequence[bytes]:
        """See ``Lister``."""
        return (self._there or b"/",)

    async def pages(self, folder: bytes) -> AsyncIterator[Sequence[Stamp]]:
        """See ``Lister``."""
        loop = asyncio.get_running_loop()
        pages = self._pages(folder.rstrip(b"/"))
        ahead = loop.run_in_executor(self._thread, next, pages, None)
        while (page := await ahead) is not None:
            ahead = loop.run_in_executor(self._thread, next, pages, None)
            yield page

    async def look(self, paths: Sequence[bytes]) -> Sequence[Listed | Look]:
        """See ``Lister``."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._looks, paths)

    def is_same(self, stamp: Stamp, known: FileState) -> bool:
        """See ``Lister``."""
        return known.size in (-1, stamp[1]) and is_near(stamp[2], known)

    async def close(self) -> None:
        """See ``Lister``."""

    def _pages(self, folder: bytes) -> Iterator[list[Stamp]]:
        self._check()
        page: list[Stamp] = []
        for stamps in self._runs(folder):
            page += stamps
            if len(page) >= PAGE:
                yield page
                page = []
        self._check()  # An unmounted disk is no deletion of its files.
        yield page

    def _runs(self, folder: bytes) -> Iterator[Sequence[Stamp]]:
        """Yield runs of files in the order of their paths."""
        waiting = [self._folder(folder)]
        while waiting:
            for step in waiting[-1]:
                if isinstance(step, bytes):
                    waiting.append(self._folder(step))
                    break
                yield step
            else:
                waiting.pop()

    def _folder(self, folder: bytes) -> Iterator[Sequence[Stamp] | bytes]:
        """Yield the files of a folder and, at their places between them, the folders in it."""
        files, folders = self._entries(folder)
        begin = 0
        for below in folders:
            end = bisect_left(files, (below + b"/",))
            yield files[begin:end]
            yield below
            begin = end
        yield files[begin:] if begin else files

    def _entries(self, folder: bytes) -> tuple[list[Stamp], list[bytes]]:
        """Return files and folders; files that are ignored are found so when they are looked at."""
        prefix, below = folder + b"/", folder[len(self._there) + 1 :]
        below = below + b"/" if below else b""
        files: list[Stamp] = []
        folders: list[bytes] = []
        try:
            with os.scandir(self._place(folder) or b"/") as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        stat = entry.stat(follow_symlinks=False)
                        files.append((prefix + entry.name, stat.st_size, stat.st_mtime_ns))
                    elif entry.is_dir(follow_symlinks=False) and not self._ignore(below, entry.name):
                        folders.append(prefix + entry.name)
        except _GONE:
            return [], []
        except OSError as error:
            raise self._fault(folder, error) from error
        files.sort()
        folders.sort(key=lambda path: path + b"/")
        return files, folders

    def _looks(self, paths: Sequence[bytes]) -> list[Listed | Look]:
        found = [self._look(path) for path in paths]
        if Look.NOTHING in found:
            self._check()
        return found

    def _look(self, path: bytes) -> Listed | Look:
        folder, _, name = path[len(self._there) + 1 :].rpartition(b"/")
        if self._ignore(folder + b"/" if folder else b"", name):
            return Look.IGNORED
        try:
            stat = os.lstat(self._place(path))
        except _GONE:
            return Look.NOTHING
        except OSError as error:
            raise self._fault(path, error) from error
        if not S_ISREG(stat.st_mode):
            return Look.NOTHING
        if 0 <= time.time() - stat.st_mtime < self._settings.settle_s:
            return Look.UNSETTLED
        return Listed(
            path=path,
            size=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            born_ns=stat.st_ctime_ns,
            version=f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}",
            owner={"uid": stat.st_uid, "gids": [stat.st_gid]},
        )

    def _place(self, path: bytes) -> bytes:
        return self._here + path[len(self._there) :]

    def _check(self) -> None:
        """Refuse to take a disk that is away for the end of all its files: then the folder is empty."""
        try:
            with os.scandir(self._here or b"/") as entries:
                if next(entries, None) is not None:
                    return
        except OSError as error:
            raise self._fault(self._there, error) from error
        raise Unavailable(
            f"there is nothing in {self._settings.folder}: mount it, or change 'mounted'",
            self._settings.retry_s,
        )

    def _fault(self, path: bytes, error: OSError) -> Unavailable | Refused:
        shown = os.fsdecode(self._place(path))
        if isinstance(error, PermissionError):
            return Refused(f"{shown} may not be read by us: {error.strerror}; let this user list it")
        return Unavailable(f"{shown} cannot be read: {error.strerror}", self._settings.retry_s)
