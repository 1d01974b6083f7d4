"""What is known of each file: the ledger, and before it what was told a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator

from penstock.core.event import Event, path_of
from penstock.core.identity import fold
from penstock.core.ports import Ledger
from penstock.core.rows import FileState, Row

RECENT_MAX = 10_000
"""Paths remembered until the log has brought them to the ledger."""


class Knowledge:
    """The ledger's rows of one storage, and those on their way there."""

    def __init__(self, storage: str, ledger: Ledger) -> None:
        self._storage = storage
        self._ledger = ledger
        self._recent: OrderedDict[bytes, FileState] = OrderedDict()

    def row(self, path: str) -> FileState | None:
        """Return what is known of a path."""
        key = path.encode()
        return self._recent.get(key) or self._ledger.file(self._storage, key)

    def told(self, event: Event) -> None:
        """Take note of what an event says."""
        path = path_of(event.subject or "")
        row = fold(self.row(path.decode()), event).row
        if row is not None:
            self._remember(row)

    def put(self, row: Row) -> None:
        """Stage a row that no event stands for."""
        self._ledger.put(row)
        if isinstance(row, FileState):
            self._recent.pop(row.path, None)

    async def below(self, folder: str) -> AsyncIterator[FileState]:
        """Yield the present rows below a folder."""
        inside = folder.rstrip("/").encode() + b"/"
        recent = {path: row for path, row in self._recent.items() if path.startswith(inside)}
        async for row in self._ledger.files(self._storage, folder.encode()):
            latest = recent.pop(row.path, row)
            if latest.present:
                yield latest
        for row in recent.values():
            if row.present:
                yield row

    def _remember(self, row: FileState) -> None:
        self._recent[row.path] = row
        self._recent.move_to_end(row.path)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
