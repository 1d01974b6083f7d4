"""The ledger's rows of a folder, a page at a time, with what is staged and what is committed meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from penstock.core.ports import Stamp
from penstock.core.rows import FileState, Row
from penstock.state.postgres.memory import Memory, Staged
from penstock.state.postgres.reading import Reading
from penstock.state.postgres.statements import STATEMENTS, make
from penstock.state.postgres.tables import holds
from penstock.state.postgres.texts import restored

FILES_PAGE = 2000
"""Ledger rows read at once."""
Changed = dict[bytes, FileState]


class Pages:
    """Reads pages.

    Args:
        reading: Asks the database.
        memory: Knows what is committed meanwhile.
        staged: Returns the rows that are not in the database yet, later ones last.
    """

    def __init__(self, reading: Reading, memory: Memory, staged: Callable[[], tuple[Staged, ...]]) -> None:
        self._reading = reading
        self._memory = memory
        self._staged = staged

    async def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield the present files below ``folder``, by path."""
        async for found, changed in self._pages(STATEMENTS[FileState].columns, 1, storage, folder):
            page = {row[1]: make(FileState, row, (storage,)) for row in found} | changed
            for path in sorted(page):
                if page[path].present:
                    yield page[path]

    async def stamps(self, storage: str, folder: bytes, fields: Sequence[str]) -> AsyncIterator[list[Stamp]]:
        """Yield of the present files below ``folder`` the path and these fields, in pages by path."""
        unknown = set(fields) - set(FileState.__struct_fields__)
        assert not unknown, f"files have no {unknown}"
        names = ("path", *fields)
        texts = [place for place, name in enumerate(names) if holds(FileState, name) is str]
        columns = ", ".join(f't."{name}"' for name in (*names, "present"))
        of_row = attrgetter(*names) if fields else lambda row: (row.path,)
        async for found, changed in self._pages(columns, 0, storage, folder):
            rows = [row[:-1] for row in found if row[-1] and row[0] not in changed]
            for place in texts:
                if not "".join([row[place] for row in rows]).isascii():
                    rows = [(*row[:place], restored(row[place]), *row[place + 1 :]) for row in rows]
            fresh = [of_row(row) for row in changed.values() if row.present]
            yield sorted(rows + fresh) if fresh else rows

    async def _pages(
        self, columns: str, place: int, storage: str, folder: bytes
    ) -> AsyncIterator[tuple[Sequence[Any], Changed]]:
        """Yield rows whose path is at ``place``, and what takes the place of some, or comes beside them."""
        start = folder.rstrip(b"/") + b"/"
        end = start[:-1] + b"0"
        is_last = False
        while not is_last:
            with self._memory.watching() as written:
                asked = (columns, storage, start, end, FILES_PAGE)
                found = await self._reading.beside(lambda asked=asked: self._reading.files(*asked))  # type: ignore[misc]
                is_last = len(found) < FILES_PAGE
                behind = end if is_last else found[-1][place] + b"\0"
                changed = _changed((written, *self._staged()), storage, start, behind)
            yield found, changed
            start = behind


def _changed(staged: Sequence[Staged], storage: str, start: bytes, end: bytes) -> Changed:
    """Return the rows of paths from ``start`` up to, not including, ``end``."""
    found: Changed = {}
    for rows in staged:
        files: Mapping[tuple[Any, ...], Row] = rows.get(FileState, {})
        for (its_storage, path), row in files.items():
            if its_storage == storage and start <= path < end and isinstance(row, FileState):
                found[path] = row
    return found
