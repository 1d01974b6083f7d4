"""The ledger as a file source sees it: what the log holds, and what is on its way there.

A source notes a file's new state before its event is on the log. That note is kept here, not in state:
the row enters state when the event is folded from the log, so that state never knows more than the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from operator import attrgetter

from msgspec.structs import replace

from penstock.core.ports import Stamp, State
from penstock.core.rows import FileState, PositionRow, Row


class PendingLedger:
    """See ``core.ports.Ledger``."""

    def __init__(self, state: State, staged: Callable[[], None], pending_max: int = 1 << 62) -> None:
        """Look behind the pending rows into ``state``; call ``staged`` when a row went there at once.

        Where another process folds, nobody says when a row has arrived in state: then the newest
        ``pending_max`` are kept.
        """
        self._pending_max = pending_max
        self._state = state
        self._staged = staged
        self._pending: dict[tuple[str, bytes], FileState] = {}
        self._untold: dict[str, dict[tuple[str, bytes], FileState | None]] = {}
        self._changes = 0
        self._is_alone = pending_max == 1 << 62

    def told(self, storage: str) -> None:
        """The events behind all rows of this storage are on their way; ``undo`` reaches back to here."""
        self._untold[storage] = {}

    def undo(self, storage: str) -> None:
        """Forget the rows since ``told``: their events were lost on the way to the log.

        A source that was interrupted in the middle of a batch compares anew, and must not find as known
        what nobody was told.
        """
        for key, before in self._untold.get(storage, {}).items():
            if before is None:
                self._pending.pop(key, None)
            else:
                self._pending[key] = before
        self.told(storage)

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the last known state of a path."""
        return self._pending.get((storage, path)) or self._state.file(storage, path)

    def positions(self, source: str) -> Mapping[str, str]:
        """Return how far a source had read, by part."""
        return {row.part: row.position for row in self._state.select(PositionRow, source=source)}

    def mark(self) -> int:
        """Return what ``is_unchanged`` is to be asked with."""
        return self._changes

    def is_unchanged(self, mark: int) -> bool:
        """Whether no file's row has surely changed since; where others fold, too, that is not known."""
        return self._is_alone and mark == self._changes

    def put(self, *rows: Row) -> None:
        """Keep rows until their events are folded; rows without an event go to state at once."""
        self._changes += 1
        for row in rows:
            if isinstance(row, FileState) and row.event_id:
                key = (row.storage, row.path)
                before = self._pending.pop(key, None)
                if row.storage in self._untold:
                    self._untold[row.storage].setdefault(key, before)
                self._pending[key] = row
                if len(self._pending) > self._pending_max:
                    del self._pending[next(iter(self._pending))]
            else:
                self._state.put(row)
                self._staged()

    def learn(self, row: FileState) -> None:
        """Keep in state what its event did not tell, because it came out of order."""
        self._changes += 1
        self._pending.pop((row.storage, row.path), None)
        self._state.put(row)
        self._staged()

    def folded(self, row: FileState) -> None:
        """The event behind ``row`` is on the log: it belongs to state now."""
        self._changes += 1
        self._state.put(row)
        pending = self._pending.get((row.storage, row.path))
        if pending is not None and replace(pending, offset=row.offset) == row:
            del self._pending[row.storage, row.path]

    async def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield what is known and present below ``folder``, by path."""
        prefix = folder.rstrip(b"/") + b"/"
        only_here = deque(
            sorted(path for name, path in self._pending if name == storage and path.startswith(prefix))
        )
        async for row in self._state.files(storage, folder):
            while only_here and only_here[0] < row.path:
                for fresh in self._present(storage, only_here.popleft()):
                    yield fresh
            if only_here and only_here[0] == row.path:
                only_here.popleft()
            for fresh in self._present(storage, row.path):
                yield fresh
        for path in only_here:
            for fresh in self._present(storage, path):
                yield fresh

    async def stamps(
        self, storage: str, folder: bytes, fields: Sequence[str]
    ) -> AsyncIterator[Sequence[Stamp]]:
        """Yield paths and fields of the same, in pages."""
        prefix = folder.rstrip(b"/") + b"/"
        of_row = attrgetter("path", *fields)
        start = b""
        async for page in self._state.stamps(storage, folder, fields):
            if not page:
                continue
            known = dict(self._between(storage, prefix, start, page[-1][0]))
            start = page[-1][0]
            if not known:
                yield page
                continue
            kept = [stamp for stamp in page if stamp[0] not in known]
            yield sorted([*kept, *(of_row(row) for row in known.values() if row.present)])
        rest = [row for _, row in self._between(storage, prefix, start, None) if row.present]
        yield sorted(of_row(row) for row in rest)

    def _between(
        self, storage: str, prefix: bytes, start: bytes, last: bytes | None
    ) -> Iterator[tuple[bytes, FileState]]:
        """Yield the pending rows below a folder that come after ``start``, up to and with ``last``."""
        for (name, path), row in self._pending.items():
            if (
                name == storage
                and start < path
                and path.startswith(prefix)
                and (last is None or path <= last)
            ):
                yield path, row

    async def prefetch(self, storage: str, paths: Sequence[bytes]) -> None:
        """Have ``file`` answer from memory for these paths for a moment; see ``core.ports.State``."""
        await self._state.prefetch({FileState: [(storage, path) for path in paths]})

    def _present(self, storage: str, path: bytes) -> list[FileState]:
        row = self.file(storage, path)
        return [row] if row is not None and row.present else []
