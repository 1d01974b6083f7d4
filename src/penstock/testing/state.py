"""A state in memory, for tests of what stages and reads rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from penstock.core.errors import PenstockError
from penstock.core.ports import Stamp
from penstock.core.rows import FileState, OutputRow, Row
from penstock.state.tables import KEY_WIDTH

R = TypeVar("R", bound=Row)
Rows = dict[type[Row], dict[tuple[Any, ...], Row]]


class MemoryState:
    """``core.ports.State`` without a disk.

    Attributes:
        committed: What a restart would find, by kind and key.
        commits: How many transactions there were.
        failure: Set it, and commits raise it; the rows stay staged.
    """

    def __init__(self) -> None:
        self.committed: Rows = {}
        self.commits = 0
        self.failure: PenstockError | None = None
        self._rows: Rows = {}
        self._staged: Rows = {}

    @property
    def dirty(self) -> bool:
        """Whether rows are staged."""
        return bool(self._staged)

    def put(self, *rows: Row) -> None:
        """Stage ``rows``."""
        for row in rows:
            key = tuple(getattr(row, name) for name in row.__struct_fields__[: KEY_WIDTH[type(row)]])
            self._staged.setdefault(type(row), {})[key] = row
            self._rows.setdefault(type(row), {})[key] = row

    async def commit(
        self,
        ready: Callable[[], Awaitable[None]] | None = None,
        stage: Callable[[], None] = lambda: None,
    ) -> None:
        """Commit what is staged; see ``core.ports.State.commit``."""
        stage()
        if not self._staged:
            return
        taken, self._staged = self._staged, {}
        try:
            if ready is not None:
                await ready()
            if self.failure is not None:
                raise self.failure
        except BaseException:
            for kind, rows in taken.items():
                self._staged[kind] = {**rows, **self._staged.get(kind, {})}
            raise
        for kind, rows in taken.items():
            self.committed.setdefault(kind, {}).update(rows)
        self.commits += 1

    async def prefetch(self, wanted: Mapping[type[Row], Collection[tuple[Any, ...]]]) -> None:
        """Do nothing: all rows are in memory."""

    def get(self, kind: type[R], *key: Any) -> R | None:
        """Return one row by its key."""
        return self._rows.get(kind, {}).get(key)  # type: ignore[return-value]

    def select(self, kind: type[R], **equal: Any) -> list[R]:
        """Return the rows whose fields equal ``equal``, by key."""
        rows: dict[tuple[Any, ...], R] = self._rows.get(kind, {})  # type: ignore[assignment]
        found = [rows[key] for key in sorted(rows)]
        return [row for row in found if all(getattr(row, name) == value for name, value in equal.items())]

    def output(self, path: bytes) -> OutputRow | None:
        """Return who published ``path`` last."""
        return self.get(OutputRow, path)

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the ledger's row of a path."""
        return self.get(FileState, storage, path)

    async def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield the present files below ``folder``, by path."""
        below = folder.rstrip(b"/") + b"/"
        for row in self.select(FileState, storage=storage):
            if row.present and row.path.startswith(below):
                yield row

    async def stamps(
        self, storage: str, folder: bytes, fields: Sequence[str]
    ) -> AsyncIterator[Sequence[Stamp]]:
        """Yield paths and fields of the same, in one page."""
        of_row = attrgetter("path", *fields)
        yield [of_row(row) async for row in self.files(storage, folder)]

    def restarted(self) -> MemoryState:
        """Return the state that an engine would find after a crash now."""
        again = MemoryState()
        again.committed = {kind: dict(rows) for kind, rows in self.committed.items()}
        again._rows = {kind: dict(rows) for kind, rows in self.committed.items()}
        return again
