"""State in PostgreSQL: one shard's view of it (see ``core.ports.State``).

Rows are staged in memory, seen at once by reads through this object, and written in one transaction per
``commit``. Reads look at staged rows, then at what is in memory (see ``memory``), then ask the database and
block meanwhile: what a batch will ask for is to be prefetched.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from penstock.core.errors import Refused
from penstock.core.ports import Stamp
from penstock.core.rows import FileState, OutputRow, Row
from penstock.state.history import Orphan
from penstock.state.postgres.history import Removal
from penstock.state.postgres.memory import Memory, Staged, Unknown
from penstock.state.postgres.pages import Pages
from penstock.state.postgres.reading import Reading
from penstock.state.postgres.schema import prepare
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.tables import TABLES, key_columns
from penstock.state.postgres.writing import Writing

R = TypeVar("R", bound=Row)
T = TypeVar("T")


class PostgresState:
    """The state of one shard. Opening it takes its partition over from whoever had it.

    Attributes:
        partition: The shard's.
        blocking_reads: How often a read had to wait for the database, since the opening.
        prefetched: How many keys were asked for ahead.
    """

    def __init__(self, settings: PostgresSettings, partition: int, owner: str = "") -> None:
        """Make the tables where they are missing, and take the partition over. Blocks; see ``open``.

        Args:
            settings: The database.
            partition: From 0; negative ones are for processes that fold no partition.
            owner: Who we are, in words for people; default: host and process.

        Raises:
            Invalid: A secret is not where the settings say.
            Unavailable: The database is away, or was written by a newer Penstock.
        """
        self.partition = partition
        self.blocking_reads = 0
        self.prefetched = 0
        self._staged: Staged = {}
        self._writing: Staged = {}
        self._memory = Memory(settings.cache_rows)
        prepare(settings)
        self._writer = Writing(settings, partition, owner or f"{socket.gethostname()}:{os.getpid()}")
        self._reading = Reading(settings, partition)
        self._pages = Pages(self._reading, self._memory, lambda: (self._writing, self._staged))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state-writes")
        self._committing = asyncio.Lock()

    @classmethod
    async def open(cls, settings: PostgresSettings, partition: int, owner: str = "") -> PostgresState:
        """Return a new one without blocking the event loop; see ``__init__``."""
        return await asyncio.get_running_loop().run_in_executor(None, cls, settings, partition, owner)

    @property
    def epoch(self) -> int:
        """The number of this ownership; it rises with each owner of the partition."""
        return self._writer.epoch

    @property
    def dirty(self) -> bool:
        """Whether rows are staged."""
        return bool(self._staged)

    def put(self, *rows: Row) -> None:
        """Stage ``rows``; see ``core.ports.State.put``."""
        for row in rows:
            kind = type(row)
            staged = self._staged.get(kind)
            if staged is None:
                staged = self._staged[kind] = {}
            staged[_KEY_OF[kind](row)] = row

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
            self._memory.close_window()
            self._writing, self._staged = self._staged, {}
            try:
                if ready is not None:
                    await ready()
                writing = self._writing
                await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.commit, writing)
                self._memory.wrote(writing)
            except BaseException:  # also when cancelled: what is not known to be on disk stays staged
                for kind, rows in self._writing.items():
                    self._staged[kind] = {**rows, **self._staged.get(kind, {})}
                raise
            finally:
                self._writing = {}

    async def prefetch(self, wanted: Mapping[type[Row], Collection[tuple[Any, ...]]]) -> None:
        """Load rows, and the absence of rows, for the batch that follows; see ``core.ports.State``."""
        asked = {kind: [key for key in keys if self._unknown(kind, key)] for kind, keys in wanted.items()}
        asked = {kind: list(dict.fromkeys(keys)) for kind, keys in asked.items() if keys}
        if not asked:
            return
        with self._memory.watching() as written:
            found = await self._reading.beside(lambda: self._reading.many(asked))
            for kind, rows in found.items():
                later = written.get(kind, {})
                self._memory.read(kind, {key: later.get(key, row) for key, row in rows.items()})
                self.prefetched += len(rows)

    def _unknown(self, kind: type[Row], key: tuple[Any, ...]) -> bool:
        if self._in_hand(kind, key) is not None:
            return False
        return isinstance(self._memory.get(kind, key), Unknown)

    def _in_hand(self, kind: type[Row], key: tuple[Any, ...]) -> Row | None:
        for rows in (self._staged.get(kind), self._writing.get(kind)):
            if rows is not None and key in rows:
                return rows[key]
        return None

    def get(self, kind: type[R], *key: Any) -> R | None:
        """Return one row by its key, staged ones included."""
        found = self._in_hand(kind, key)
        if found is not None:
            return found  # type: ignore[return-value]
        known = self._memory.get(kind, key)
        if not isinstance(known, Unknown):
            return known  # type: ignore[return-value]
        self.blocking_reads += 1
        return self._reading.one(kind, key)

    def select(self, kind: type[R], **equal: Any) -> list[R]:
        """Return the rows whose fields equal ``equal``, staged ones included, by key. Asks the database."""
        self.blocking_reads += 1
        merged: dict[tuple[Any, ...], R] = {
            _KEY_OF[kind](row): row for row in self._reading.equal(kind, equal)
        }
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

    async def forget(self, *, ended_before_ns: int, offset_before: int) -> int:
        """Remove old history of this shard (see ``state.history``) and return how many runs went."""
        steps: Iterator[int] | None = None

        def step(removal: Removal) -> int | None:
            nonlocal steps
            steps = steps or removal.forget(ended_before_ns, offset_before)
            return next(steps, None)

        count = 0
        while (removed := await self._between_commits(step)) is not None:
            count += removed
        return count

    async def orphans(self, published_before_ns: int) -> tuple[list[Orphan], bool]:
        """Look at this shard's next outputs for some whose run is forgotten (see ``state.history``)."""
        return await self._between_commits(lambda removal: removal.orphans(published_before_ns))

    async def forget_outputs(self, gone: Sequence[Orphan]) -> None:
        """Remove outputs' rows that ``orphans`` has returned."""
        await self._between_commits(lambda removal: removal.forget_outputs(gone))

    async def _between_commits(self, work: Callable[[Removal], T]) -> T:
        async with self._committing:
            self._memory.clear()
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.remove, work)

    async def backup(self, target: Path) -> None:
        """Say who does it.

        Raises:
            Refused: Always: PostgreSQL has its own tools for this.
        """
        raise Refused(f"nothing is copied to {target}: back the database up with pg_dump or pg_basebackup")

    def close(self) -> None:
        """Let go. Staged rows that were not committed are derived again from the log."""
        self._thread.shutdown()
        self._writer.close()
        self._reading.close()


def _key_of(kind: type[Row]) -> Callable[[Row], tuple[Any, ...]]:
    """Return what takes the key out of a row of this kind."""
    names = key_columns(kind)
    if len(names) > 1:
        return attrgetter(*names)
    one = attrgetter(*names)
    return lambda row: (one(row),)


_KEY_OF = {kind: _key_of(kind) for kind in TABLES}
