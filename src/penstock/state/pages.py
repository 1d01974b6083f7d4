"""The ledger's rows of a folder in a SQLite state, a page at a time, staged rows included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from operator import attrgetter
from sqlite3 import Cursor
from typing import Any

from penstock.core.ports import Stamp
from penstock.core.rows import FileState, Row
from penstock.state.making import make

FILES_PAGE = 2000
"""Ledger rows read at once."""
Rows = Mapping[tuple[Any, ...], Row]


class Pages:
    """Reads pages.

    Args:
        execute: Runs a question with its values.
        staged: Returns the files' rows that are not in the database yet, later ones last.
    """

    def __init__(
        self,
        execute: Callable[[str, tuple[Any, ...]], Cursor],
        staged: Callable[[], tuple[Rows, ...]],
    ) -> None:
        self._execute = execute
        self._staged = staged

    async def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield the present files below ``folder``, by path."""
        async for found in self._pages("SELECT * FROM files", 1, storage, folder):
            for row in self._overlaid(
                {row[1]: make(FileState, row) for row in found[0]}, storage, *found[1:]
            ):
                if row.present:
                    yield row

    async def stamps(self, storage: str, folder: bytes, fields: Sequence[str]) -> AsyncIterator[list[Stamp]]:
        """Yield of the present files below ``folder`` the path and these fields, in pages by path."""
        unknown = set(fields) - set(FileState.__struct_fields__)
        assert not unknown, f"files have no {unknown}"
        names = ", ".join(f'"{name}"' for name in fields)
        of_row = attrgetter("path", *fields)
        question = f"SELECT path, {names} FROM files"  # noqa: S608 - names are those of fields
        async for found, start, last in self._pages(question, 0, storage, folder, "AND present"):
            changed = self._changed(storage, start, last)
            if changed:
                rows = [row for row in found if row[0] not in changed]
                found = sorted([*rows, *(of_row(row) for row in changed.values() if row.present)])
            yield found

    async def _pages(
        self, question: str, place: int, storage: str, folder: bytes, more: str = ""
    ) -> AsyncIterator[tuple[list[Any], bytes, bytes]]:
        """Yield rows whose path is at ``place``, and the range of paths that they are all of."""
        start = folder.rstrip(b"/") + b"/"
        end = start[:-1] + b"0"
        statement = f"{question} WHERE storage=? AND path>=? AND path<? {more} ORDER BY path LIMIT ?"
        while True:
            found = self._execute(statement, (storage, start, end, FILES_PAGE)).fetchall()
            full = len(found) == FILES_PAGE
            yield found, start, (found[-1][place] + b"\0" if full else end)
            if not full:
                return
            start = found[-1][place] + b"\0"
            await asyncio.sleep(0)

    def _overlaid(
        self, page: dict[bytes, FileState], storage: str, start: bytes, end: bytes
    ) -> list[FileState]:
        page |= self._changed(storage, start, end)
        return [page[path] for path in sorted(page)]

    def _changed(self, storage: str, start: bytes, end: bytes) -> dict[bytes, FileState]:
        """Return the staged rows of paths from ``start`` up to, not including, ``end``."""
        return {
            path: row  # type: ignore[misc]
            for rows in self._staged()
            for (its_storage, path), row in rows.items()
            if its_storage == storage and start <= path < end
        }
