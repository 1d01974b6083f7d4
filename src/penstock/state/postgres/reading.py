"""Questions to the database: one connection, used by the event loop's thread and by one more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from psycopg import Cursor, Error

from penstock.core.rows import Row
from penstock.state.postgres import arrays
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.statements import STATEMENTS, make
from penstock.state.postgres.tables import OWN, SHARD, TABLES, head, holds, key_columns
from penstock.state.postgres.texts import INTEGER_MAX, are_plain, nearest, stored_key

KEYS_MAX = 5000
"""Most keys that one statement asks for."""
R = TypeVar("R", bound=Row)
T = TypeVar("T")
Key = tuple[Any, ...]
Wanted = Mapping[type[Row], Collection[Key]]
Found = dict[type[Row], dict[Key, Row | None]]
_PAGE = (
    f"FROM files t WHERE storage = %(storage)s AND path >= %(start)s AND path < %(end)s "
    f"AND {head('path')} BETWEEN {head('%(start)s::bytea')} AND {head('%(end)s::bytea')} "
    f"ORDER BY {head('path')}, path LIMIT %(most)s"
)


class Reading:
    """Reads for one shard.

    Args:
        settings: The database.
        shard: Whose rows of own kinds are seen.
    """

    def __init__(self, settings: PostgresSettings, shard: int) -> None:
        self._settings = settings
        self._shard = shard
        self._session: Session | None = None
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state-reads")

    async def beside(self, work: Callable[[], T]) -> T:
        """Return what blocking ``work`` returns, done in the thread for questions."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let go."""
        self._thread.shutdown()
        if self._session is not None:
            self._session.close()

    def one(self, kind: type[R], key: Key) -> R | None:
        """Return a row by its key. Blocks."""
        known = STATEMENTS[kind]
        values = {f"k{place}": value for place, value in enumerate(stored_keys(kind, [key])[0])}
        values["shard"] = self._shard
        found = self._ask(lambda session: session.execute(known.by_key, values, prepare=True).fetchone())
        return None if found is None else make(kind, found, key)

    def equal(self, kind: type[R], equal: Mapping[str, Any]) -> list[R]:
        """Return rows by the values of fields. Blocks."""
        known = STATEMENTS[kind]
        where = [f't."{name}" = %({name})s' for name in equal] + (
            [f"t.{SHARD} = {self._shard:d}"] if kind in OWN else []
        )
        statement = f"SELECT {known.columns} FROM {TABLES[kind].name} t WHERE {' AND '.join(where) or 'true'}"  # noqa: S608
        values = {name: known.store[name](value) for name, value in equal.items()}
        found = self._ask(lambda session: session.execute(statement, values).fetchall())
        return [make(kind, row) for row in found]

    def many(self, wanted: Wanted) -> Found:
        """Return rows by their keys, None for absent ones, in one round trip. Blocks."""
        asked = [
            (kind, chunk, stored_keys(kind, chunk))
            for kind, keys in wanted.items()
            for chunk in _chunks(list(keys))
        ]

        def ask(session: Session) -> list[list[Any]]:
            with session.pipeline():
                cursors = [self._by_keys(session, kind, stored) for kind, _, stored in asked]
                return [cursor.fetchall() for cursor in cursors]

        found: Found = {}
        for (kind, chunk, stored), rows in zip(asked, self._ask(ask) if asked else [], strict=True):
            here = found.setdefault(kind, {})
            here.update(dict.fromkeys(chunk))
            by_stored = dict(zip(stored, chunk, strict=True))
            width = len(key_columns(kind))
            for row in rows:
                key = by_stored[tuple(row[:width])]
                here[key] = make(kind, row, key)
        return found

    def _by_keys(self, session: Session, kind: type[Row], stored: Sequence[Key]) -> Cursor[Any]:
        known = STATEMENTS[kind]
        columns = [
            encode(values) for encode, values in zip(known.encode, zip(*stored, strict=True), strict=False)
        ]
        return session.execute(known.by_keys, (*columns, self._shard), prepare=True)

    def files(self, columns: str, storage: str, start: bytes, end: bytes, most: int) -> list[Any]:
        """Return columns of the ledger's rows from ``start`` up to, but not, ``end``, by path. Blocks."""
        values = {"storage": stored_key(storage), "start": start, "end": end, "most": most}
        statement = f"SELECT {columns} {_PAGE}"
        return self._ask(lambda session: session.execute(statement, values, prepare=True).fetchall())

    def _ask(self, question: Callable[[Session], T]) -> T:
        """Ask; where the connection turns out to be lost, on a new one, once."""
        with self._lock, translating(self._settings):
            if self._session is not None:
                try:
                    return question(self._session)
                except Error:
                    if not self._session.closed:
                        raise
            self._session = self._connect()
            return question(self._session)

    def _connect(self) -> Session:
        session = connect(self._settings, f"reads {self._shard}", default_transaction_read_only="on")
        arrays.register(session)
        return session


def stored_keys(kind: type[Row], keys: Sequence[Key]) -> Sequence[Key]:
    """Return what stands for keys in the columns; mostly that is what they are."""
    columns = list(zip(*keys, strict=True))
    stored = [
        _stored(holds(kind, name), column) for name, column in zip(key_columns(kind), columns, strict=True)
    ]
    if all(one is other for one, other in zip(stored, columns, strict=True)):
        return keys
    return list(zip(*stored, strict=True))


def _stored(type_: type, column: Sequence[Any]) -> Sequence[Any]:
    if type_ is str:
        return column if are_plain(column) else [stored_key(value) for value in column]
    if type_ is int:
        return column if max(map(abs, column)) <= INTEGER_MAX else [nearest(value) for value in column]
    return column


def _chunks(keys: list[Key]) -> list[list[Key]]:
    return [keys[start : start + KEYS_MAX] for start in range(0, len(keys), KEYS_MAX)]
