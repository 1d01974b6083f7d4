"""A ledger in memory, for tests of sources."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from operator import attrgetter

from penstock.core.ports import Stamp
from penstock.core.rows import FileState, PositionRow, Row


class MemoryLedger:
    """``core.ports.Ledger`` without a disk. Rows other than files' are kept in ``others``.

    Attributes:
        rows: Last row of each (storage, path).
        others: Rows of other kinds, in the order in which they came.
    """

    def __init__(self, rows: dict[tuple[str, bytes], FileState] | None = None) -> None:
        self.rows = dict(rows or {})
        self.others: list[Row] = []

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the last known state of a path, or None."""
        return self.rows.get((storage, path))

    def positions(self, source: str) -> Mapping[str, str]:
        """Return the last position put for each part of a source."""
        kept = (row for row in self.others if isinstance(row, PositionRow) and row.source == source)
        return {row.part: row.position for row in kept}

    def put(self, *rows: Row) -> None:
        """Replace what is known of each row's path."""
        for row in rows:
            if isinstance(row, FileState):
                self.rows[row.storage, row.path] = row
            else:
                self.others.append(row)

    async def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield the present files below ``folder`` by path; rows put meanwhile may be missed."""
        below = folder.rstrip(b"/") + b"/"
        keys = [key for key in self.rows if key[0] == storage and key[1].startswith(below)]
        for key in sorted(keys):
            row = self.rows[key]
            if row.present:
                yield row

    async def stamps(
        self, storage: str, folder: bytes, fields: Sequence[str]
    ) -> AsyncIterator[Sequence[Stamp]]:
        """Yield paths and fields of the same, in one page."""
        of_row = attrgetter("path", *fields)
        yield [of_row(row) async for row in self.files(storage, folder)]

    def copy(self) -> MemoryLedger:
        """Return a ledger that knows the same now and forgets what this one learns later."""
        return MemoryLedger(self.rows)
