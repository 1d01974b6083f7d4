"""State in one SQLite file: one connection that writes and checkpoints, in one thread of its own.

Rows are staged in memory, seen at once by reads through this object, and written in one transaction
per ``commit``. Readers in other processes open the file read-only.

SQLite before 3.51.3 may corrupt a WAL database that two connections write or checkpoint at the same
moment (SQLite's release notes); with one writing connection that cannot happen.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from penstock.core.ports import Stamp
from penstock.core.rows import CursorRow, FileState, OutputRow, Row
from penstock.state.history import Orphan, forget, forget_outputs, orphans
from penstock.state.making import make
from penstock.state.migrations import bring_up
from penstock.state.pages import Pages
from penstock.state.tables import KEY_WIDTH, TABLES
from penstock.state.writing import translating, write, writer

Staged = dict[type[Row], dict[tuple[Any, ...], Row]]
R = TypeVar("R", bound=Row)
T = TypeVar("T")


class EmbeddedState:
    """The state of an embedded installation (see ``core.ports.State``)."""

    def __init__(self, path: Path) -> None:
        """Open or make the database at ``path``.

        Raises:
            Unavailable: It was written by a newer Penstock, or cannot be opened.
            Broken: It is damaged, or no database of ours.
        """
        self.path = path
        self._staged: Staged = {}
        self._writing: Staged = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._engine = writer(path)
        try:
            self._connection = self._thread.submit(self._open).result()
        except BaseException:
            self._thread.submit(self._engine.dispose).result()
            self._thread.shutdown()
            raise
        self._reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        self._reader.isolation_level = None
        self._in_snapshot = False
        self._committing = asyncio.Lock()
        self._pages = Pages(self._execute, self._staged_files)

    def _open(self) -> Connection:
        with translating(self.path):
            connection = self._engine.connect()
            try:
                with connection.begin():
                    bring_up(connection, str(self.path))
            except BaseException:
                connection.close()
                raise
            return connection

    def put(self, *rows: Row) -> None:
        """Stage ``rows``; see ``core.ports.State.put``."""
        staged = self._staged
        for row in rows:
            kind = type(row)
            key = _key(row)
            if kind in staged:
                staged[kind][key] = row
            else:
                staged[kind] = {key: row}

    @property
    def dirty(self) -> bool:
        """Whether rows are staged."""
        return bool(self._staged)

    async def commit(
        self,
        ready: Callable[[], Awaitable[None]] | None = None,
        stage: Callable[[], None] = lambda: None,
    ) -> None:
        """Write what is staged; see ``core.ports.State.commit``."""
        async with self._committing:
            stage()
            if not self._staged:
                return
            self._writing, self._staged = self._staged, {}
            try:
                if ready is not None:
                    await ready()
                self._end_snapshot()
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, self._writing)
            except BaseException:  # also when cancelled: what is not known to be on disk stays staged
                for kind, rows in self._writing.items():
                    self._staged[kind] = {**rows, **self._staged.get(kind, {})}
                raise
            finally:
                self._writing = {}
            self._execute(_BY_KEY[CursorRow], ("", 0)).fetchone()  # so that no event pays for the beginning

    def _write(self, staged: Staged) -> None:
        with translating(self.path), self._connection.begin():
            for kind, rows in staged.items():
                write(self._connection, kind, rows.values())

    def _execute(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        """Read within a snapshot that lasts until the next commit.

        Beginning and ending a read costs several system calls, a read within one costs none. While a
        commit is under way nothing is held, so that it can start the write-ahead log afresh.
        """
        if not self._in_snapshot and not self._writing:
            self._reader.execute("BEGIN")
            self._in_snapshot = True
        return self._reader.execute(statement, values)

    def _end_snapshot(self) -> None:
        if self._in_snapshot:
            self._in_snapshot = False
            self._reader.execute("COMMIT")

    async def prefetch(self, wanted: Mapping[type[Row], Collection[tuple[Any, ...]]]) -> None:
        """Do nothing: reads are fast as they are."""

    def get(self, kind: type[R], *key: Any) -> R | None:
        """Return one row by its key, staged ones included."""
        for rows in (self._staged.get(kind), self._writing.get(kind)):
            if rows is not None and key in rows:
                return rows[key]  # type: ignore[return-value]
        found = self._execute(_BY_KEY[kind], key).fetchone()
        return None if found is None else make(kind, found)

    def select(self, kind: type[R], **equal: Any) -> list[R]:
        """Return the rows whose fields equal ``equal``, staged ones included, by key."""
        where = " AND ".join(f"{name}=?" for name in equal) or "1"
        statement = f"SELECT * FROM {TABLES[kind].name} WHERE {where}"  # noqa: S608
        stored = (make(kind, found) for found in self._execute(statement, tuple(equal.values())))
        merged: dict[tuple[Any, ...], R] = {_key(row): row for row in stored}
        for rows in (self._writing.get(kind, {}), self._staged.get(kind, {})):
            for key, row in rows.items():
                if all(getattr(row, name) == value for name, value in equal.items()):
                    merged[key] = row  # type: ignore[assignment]
                else:
                    merged.pop(key, None)
        return [merged[key] for key in sorted(merged)]

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the ledger's row of a path."""
        return self.get(FileState, storage, path)

    def output(self, path: bytes) -> OutputRow | None:
        """Return who published ``path`` last."""
        return self.get(OutputRow, path)

    def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield the present files below ``folder``, by path, in pages; staged rows included."""
        return self._pages.files(storage, folder)

    def stamps(self, storage: str, folder: bytes, fields: Sequence[str]) -> AsyncIterator[Sequence[Stamp]]:
        """Yield paths and fields of the same; see ``core.ports.State``."""
        return self._pages.stamps(storage, folder, fields)

    def _staged_files(self) -> tuple[dict[tuple[Any, ...], Row], ...]:
        return self._writing.get(FileState, {}), self._staged.get(FileState, {})

    def close(self) -> None:
        """Let go. Staged rows that were not committed are derived again from the log."""
        self._reader.close()
        self._thread.submit(self._connection.close).result()
        self._engine.dispose()
        self._thread.shutdown()

    async def forget(self, *, ended_before_ns: int, offset_before: int) -> int:
        """Remove old history (see ``state.history``) and return how many runs went."""
        steps = forget(self._connection, ended_before_ns, offset_before)
        count = 0
        while (removed := await self._between_commits(next, steps, None)) is not None:
            count += removed
        return count

    async def orphans(self, published_before_ns: int) -> tuple[list[Orphan], bool]:
        """Look at the next outputs for some whose run is forgotten (see ``state.history``)."""
        return await self._between_commits(orphans, self._connection, published_before_ns)

    async def forget_outputs(self, gone: Sequence[Orphan]) -> None:
        """Remove outputs' rows that ``orphans`` has returned."""
        await self._between_commits(forget_outputs, self._connection, gone)

    async def _between_commits(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do something short with the writing connection."""
        async with self._committing:
            self._end_snapshot()
            with translating(self.path):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def backup(self, target: Path) -> None:
        """Copy the committed state to ``target``, consistently, while it is in use.

        Raises:
            Unavailable: It cannot be written there.
        """

        def copy() -> None:
            with (
                translating(target),
                closing(sqlite3.connect(target)) as copied,
                closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as source,
            ):
                source.backup(copied)

        await asyncio.get_running_loop().run_in_executor(None, copy)


_KEY_FIELDS = {kind: kind.__struct_fields__[:width] for kind, width in KEY_WIDTH.items()}
_BY_KEY = {
    kind: f"SELECT * FROM {TABLES[kind].name} WHERE " + " AND ".join(f"{name}=?" for name in names)  # noqa: S608
    for kind, names in _KEY_FIELDS.items()
}
_KEY_OF: Mapping[type[Row], Callable[[Any], Any]] = {
    kind: attrgetter(*names) for kind, names in _KEY_FIELDS.items()
}


def _key(row: Row) -> tuple[Any, ...]:
    key = _KEY_OF[type(row)](row)
    return key if type(key) is tuple else (key,)
