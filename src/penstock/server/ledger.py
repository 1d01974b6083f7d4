"""The ledger as a file source sees it: what the log holds, and what is on its way there.

A source notes a file's new state before its event is on the log. That note is kept here, not in state:
the row enters state when the event is folded from the log, so that state never knows more than the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from penstock.core.ports import State
from penstock.core.rows import FileState, Row


class PendingLedger:
    """See ``core.ports.Ledger``."""

    def __init__(self, state: State) -> None:
        """Look behind the pending rows into ``state``."""
        self._state = state
        self._pending: dict[tuple[str, bytes], FileState] = {}

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the last known state of a path."""
        return self._pending.get((storage, path)) or self._state.file(storage, path)

    def put(self, *rows: Row) -> None:
        """Keep rows until their events are folded; rows without an event go to state at once."""
        for row in rows:
            if isinstance(row, FileState) and row.event_id:
                self._pending[row.storage, row.path] = row
            else:
                self._state.put(row)

    def folded(self, row: FileState) -> None:
        """The event behind ``row`` is on the log: it belongs to state now."""
        self._state.put(row)
        pending = self._pending.get((row.storage, row.path))
        if pending is not None and pending.generation <= row.generation:
            del self._pending[row.storage, row.path]

    async def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield what is known and present below ``folder``, by path."""
        async for row in self._state.files(storage, folder):
            fresh = self._pending.get((storage, row.path), row)
            if fresh.present:
                yield fresh
