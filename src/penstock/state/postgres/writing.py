"""Commits to the database: one transaction each, through the fence, told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import msgspec
from psycopg import Error

from penstock.core.errors import Broken
from penstock.core.rows import CursorRow, Row
from penstock.state.postgres import arrays
from penstock.state.postgres.fence import pass_fence, take_over
from penstock.state.postgres.history import Removal
from penstock.state.postgres.memory import Key, Staged
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.statements import STATEMENTS, columns_of
from penstock.state.postgres.tables import OWN, TABLES
from penstock.state.postgres.texts import INTEGER_MAX

T = TypeVar("T")
CHUNK_ROWS = 1000
"""Rows in one statement."""
CHUNK_BYTES = 8 << 20
"""About the most bytes in one statement."""
STUCK_S = 15
"""A transaction whose process does not go on is ended by the server after so many seconds."""


class Writing:
    """Writes for one shard, in one thread.

    Args:
        settings: The database.
        shard: Whose rows they are.
        owner: Who writes, in words for people.

    Attributes:
        epoch: Ours; commits are refused once somebody else has a later one.
        commits: How many there were, those of earlier owners included.
    """

    def __init__(self, settings: PostgresSettings, shard: int, owner: str) -> None:
        self._settings = settings
        self._shard = shard
        self._session: Session | None = None
        self._in_doubt: Staged = {}
        self._offset = -1
        self._removal = Removal(
            self._connected, shard, lambda: self._through_the_fence(self._connected(), {})
        )
        try:
            with translating(settings):
                ownership = take_over(self._connected(), shard, owner)
        except BaseException:
            self.close()
            raise
        self.epoch, self.commits = ownership.epoch, ownership.commits

    def close(self) -> None:
        """Let go."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def commit(self, staged: Staged) -> None:
        """Write rows in one transaction. Blocks.

        Raises:
            Unavailable: Not now. Whether it happened all the same is found out by the next commit.
            Fenced: Nothing was written.
        """
        with translating(self._settings):
            try:
                self._commit(self._connected(), staged)
            except BaseException:
                self.close()  # whatever was under way is rolled back
                raise

    def _commit(self, session: Session, staged: Staged) -> None:
        with self._through_the_fence(session, staged) as number:
            # Where the commit whose answer was lost did happen, the same rows are not written again.
            rows = _without(staged, self._in_doubt) if number > self.commits + 1 else staged
            for kind, chunk in _chunks(rows):
                session.execute(STATEMENTS[kind].upsert, _columns(kind, chunk, self._shard), prepare=True)
            told = f"{self._shard}:{number}:{self._cursor(staged)}"
            session.execute("SELECT pg_notify(%s, %s)", (self._settings.channel, told), prepare=True)

    @contextmanager
    def _through_the_fence(self, session: Session, staged: Staged) -> Iterator[int]:
        """Make a transaction and give its number: a round trip up to the fence, one for all that follows."""
        is_sent = False
        try:
            with session.pipeline():
                session.execute("BEGIN")
                number = pass_fence(session, self._shard, self.epoch)
                yield number
                is_sent = True
                session.execute("COMMIT")
        except Error as error:
            if is_sent and error.sqlstate is None:
                self.commits, self._in_doubt = number - 1, staged
            raise
        self.commits, self._in_doubt = number, {}

    def _cursor(self, staged: Staged) -> int:
        """Return how far the shard has folded its partition, as far as is known here."""
        rows = staged.get(CursorRow, {})
        own = [row.offset for row in rows.values() if isinstance(row, CursorRow) and row.reader == "pump"]
        self._offset = max([self._offset, *own])
        return self._offset

    def remove(self, work: Callable[[Removal], T]) -> T:
        """Return what one transaction's ``work`` on old history returns. Blocks."""
        with translating(self._settings):
            try:
                return work(self._removal)
            except BaseException:
                self.close()
                raise

    def _connected(self) -> Session:
        if self._session is None:
            stuck = f"{STUCK_S}s"
            self._session = connect(
                self._settings,
                f"shard {self._shard}",
                idle_in_transaction_session_timeout=stuck,
                lock_timeout=stuck,
                synchronous_commit="on",
            )
            arrays.register(self._session)
        return self._session


def _without(staged: Staged, done: Staged) -> Staged:
    """Return what is staged but for the very rows that are done."""
    return {
        kind: {key: row for key, row in rows.items() if done.get(kind, {}).get(key) is not row}
        for kind, rows in staged.items()
    }


def _chunks(staged: Staged) -> Iterator[tuple[type[Row], list[Row]]]:
    """Yield rows for one statement each; shared ones in order, so that no two shards wait for each other."""
    for kind in TABLES:
        rows: Mapping[Key, Row] = staged.get(kind, {})
        ordered = rows.values() if kind in OWN else (rows[key] for key in sorted(rows))
        waiting = iter(ordered)
        while chunk := list(islice(waiting, CHUNK_ROWS)):
            yield from _by_size(kind, chunk)


def _by_size(kind: type[Row], chunk: list[Row]) -> Iterator[tuple[type[Row], list[Row]]]:
    start = size = 0
    for place, row in enumerate(chunk):
        size += sum(len(value) for value in msgspec.structs.astuple(row) if isinstance(value, bytes))
        if size > CHUNK_BYTES:
            yield kind, chunk[start : place + 1]
            start, size = place + 1, 0
    if start < len(chunk):
        yield kind, chunk[start:]


def _columns(kind: type[Row], chunk: list[Row], shard: int) -> list[Any]:
    if kind is CursorRow and any(row.offset > INTEGER_MAX for row in chunk if isinstance(row, CursorRow)):
        raise Broken(f"a row cannot be written to the state: {chunk!r:.200}")
    return [shard, *columns_of(kind, chunk)]
