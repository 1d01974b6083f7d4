"""Reading the folder that ``xrootd_spooler`` writes to: lines from a position on, and news by inotify.

A position is ``FILE:OFFSET`` behind the last line that was read. Files are removed when a newer one is there
and everything in them is on the log; a position in a file that is gone means the oldest that is left.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from penstock.core.errors import Unavailable
from penstock.sources.inotify import Inotify, Mask
from penstock.sources.xrootd import Line

SUFFIX = ".notices"
READ_BYTES = 1 << 18
"""Read from a file at once."""
_LINE = re.compile(rb"(\d{1,20}) ([=!]) (.*)", re.DOTALL)
_RETRY_S = 10.0


class Mark(Struct, frozen=True):
    """A line of the spooler's own: ``start``, ``full`` or ``end``."""

    place: bytes
    at_ns: int
    what: str


class Damaged(Struct, frozen=True):
    """A line that the spooler did not write, or not wholly."""

    place: bytes
    text: bytes


class Position(Struct, frozen=True, order=True):
    """Where the next line is read."""

    file: str = ""
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"

    @classmethod
    def of(cls, text: str) -> Position:
        """Return the position that ``text`` stands for."""
        file, _, offset = text.rpartition(":")
        return cls(file, int(offset))


class Batch(Struct, frozen=True):
    """Lines and where reading goes on behind them."""

    lines: list[Line | Mark | Damaged]
    behind: Position


class Spool:
    """A folder with files of lines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the names of its files, the oldest first.

        Raises:
            Unavailable: It is not there, or may not be read.
        """
        try:
            return sorted(name for name in os.listdir(self._folder) if name.endswith(SUFFIX))
        except OSError as error:
            raise Unavailable(
                f"the folder {self._folder} with XRootD's notices cannot be read: {error.strerror}", _RETRY_S
            ) from error

    def read(self, start: Position) -> Batch:
        """Return the lines from ``start`` on, as many as one read gives; without any there is no news.

        Reading may go on in a newer file all the same.

        Raises:
            Unavailable: The folder or a file in it may not be read.
        """
        names = [name for name in self.names() if name >= start.file]
        behind = start
        for place, name in enumerate(names):
            offset = start.offset if name == start.file else 0
            behind = Position(name, offset)
            text, finished = self._part(name, offset, newest=place == len(names) - 1)
            if text:
                return Batch(list(_lines(name, offset, text)), Position(name, offset + len(text)))
            if not finished:
                break
        return Batch([], behind)

    def _part(self, name: str, offset: int, *, newest: bool) -> tuple[bytes, bool]:
        """Return whole lines from ``offset`` on, and whether the file will have no more."""
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(offset)
                text = file.read(READ_BYTES)
        except FileNotFoundError:
            return b"", True
        except OSError as error:
            raise Unavailable(f"{self._folder / name} cannot be read: {error.strerror}", _RETRY_S) from error
        whole = text[: text.rfind(b"\n") + 1]
        if whole:
            return whole, False
        return (b"", False) if newest else (text, not text)

    def forget(self, behind: Position) -> None:
        """Remove the files that were read wholly; what they said is on the log.

        Raises:
            Unavailable: That is not allowed.
        """
        for name in self.names():
            if name < behind.file:
                try:
                    (self._folder / name).unlink(missing_ok=True)
                except OSError as error:
                    raise Unavailable(
                        f"{self._folder / name} was read and cannot be removed: {error.strerror}; let "
                        "the user that runs Penstock write to the folder",
                        _RETRY_S,
                    ) from error


def _lines(name: str, offset: int, text: bytes) -> Iterator[Line | Mark | Damaged]:
    for line in _split(text):
        place = f"{name}:{offset}".encode()
        offset += len(line)
        found = _LINE.fullmatch(line[:-1]) if line.endswith(b"\n") else None
        if found is None:
            yield Damaged(place, line)
        elif found[2] == b"=":
            yield Line(place, int(found[1]), found[3])
        else:
            yield Mark(place, int(found[1]), found[3].decode("utf-8", "replace"))


def _split(text: bytes) -> Iterator[bytes]:
    *lines, torn = text.split(b"\n")
    yield from (line + b"\n" for line in lines)
    if torn:
        yield torn


class News:
    """Tells when folders change. Nothing is asked for while waiting."""

    def __init__(self, folders: list[Path]) -> None:
        self._inotify = Inotify()
        self._came = asyncio.Event()
        try:
            for folder in folders:
                self._inotify.add(os.fsencode(folder), int(Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO))
        except OSError as error:
            self._inotify.close()
            raise Unavailable(f"{folders[0]} cannot be watched: {error.strerror}", _RETRY_S) from error
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._read)

    def _read(self) -> None:
        self._inotify.read()
        self._came.set()

    def forget(self) -> None:
        """Begin to wait anew; what comes from now on counts."""
        self._came.clear()

    async def wait(self) -> None:
        """Return when something changed since ``forget``."""
        await self._came.wait()

    def ring(self) -> None:
        """Let ``wait`` return."""
        self._came.set()

    def close(self) -> None:
        """Let go of the watches."""
        asyncio.get_running_loop().remove_reader(self._inotify.fd)
        self._inotify.close()
