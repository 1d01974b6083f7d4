"""Reads the state from another process than the one that writes it: read-only, in threads of its own.

What is read is what was committed; that lags behind the log by a few hundredths of a second.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from msgspec import Struct

from penstock.core.errors import Timeout, Unavailable
from penstock.core.rows import (
    AttemptRow,
    DeadLetter,
    Decision,
    Definition,
    FileState,
    OutputRow,
    Row,
    RunRow,
)
from penstock.state.embedded import make
from penstock.state.tables import TABLES

THREADS = 3
"""Queries at once."""
QUERY_S_MAX = 10.0
"""Longest time that one query may take, in seconds."""
_STEPS_PER_LOOK = 100_000


def _columns(kind: type[Row], without: str) -> str:
    """Every column, an empty one in the place of a large one that lists do not need."""
    return ", ".join("x''" if name == without else f'"{name}"' for name in kind.__struct_fields__)


_RUN_COLUMNS = _columns(RunRow, "snapshot")
_ATTEMPT_COLUMNS = _columns(AttemptRow, "result")
R = TypeVar("R", bound=Row)
T = TypeVar("T")


class RunQuery(Struct, frozen=True, kw_only=True):
    """Which runs are wanted; empty means any.

    Attributes:
        tenant: Whose.
        phase: Exactly this one.
        subject: Exactly this one.
        workflow: ``namespace/name``, or with ``@version``.
        trigger: Id of the trigger.
        before: Only runs older than the one with this start (POSIX nanoseconds) and id.
        limit: Most runs.
    """

    tenant: str
    phase: str = ""
    subject: str = ""
    workflow: str = ""
    trigger: str = ""
    before: tuple[int, str] | None = None
    limit: int = 100


class StepCount(Struct, frozen=True):
    """How many attempts of a step are in a phase."""

    step: str
    phase: str
    count: int


class StateReader:
    """A read-only view of the database at ``path``. Safe to share between tasks."""

    def __init__(self, path: Path) -> None:
        """Connect later, when something is asked."""
        self.path = path
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="state-reader")
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []

    async def close(self) -> None:
        """Let go, once the queries under way have ended."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        for connection in self._open:
            connection.close()

    # -- runs --------------------------------------------------------------------------------

    async def run(self, run: str) -> RunRow | None:
        """Return a run, its snapshot included."""
        return await self._one(RunRow, "id=?", run)

    async def runs(self, query: RunQuery) -> list[RunRow]:
        """Return runs, newest first, without their snapshots."""
        where, values = _run_where(query)
        statement = f"SELECT {_RUN_COLUMNS} FROM runs WHERE {where} ORDER BY started_ns DESC, id DESC LIMIT ?"  # noqa: S608
        return await self._rows(RunRow, statement, (*values, query.limit))

    async def runs_of(self, ids: Sequence[str]) -> dict[str, RunRow]:
        """Return these runs by id, without their snapshots; unknown ones are absent."""
        found: dict[str, RunRow] = {}
        for run in ids:
            for row in await self._rows(RunRow, f"SELECT {_RUN_COLUMNS} FROM runs WHERE id=?", (run,)):  # noqa: S608
                found[run] = row
        return found

    async def attempts(self, run: str, step: str | None = None, limit: int = 1000) -> list[AttemptRow]:
        """Return attempts of a run in the order of their starts, without their results."""
        where, values = ("run=?", (run,)) if step is None else ("run=? AND step=?", (run, step))
        order = "ORDER BY started_ns, step, item, attempt LIMIT ?"
        statement = f"SELECT {_ATTEMPT_COLUMNS} FROM attempts WHERE {where} {order}"  # noqa: S608
        return await self._rows(AttemptRow, statement, (*values, limit))

    async def attempt(self, run: str, step: str, item: int, attempt: int) -> AttemptRow | None:
        """Return one attempt; with attempt 0 the last one of the step (and item)."""
        if attempt:
            where = "run=? AND step=? AND item=? AND attempt=?"
            return await self._one(AttemptRow, where, run, step, item, attempt)
        where = "run=? AND step=? AND item=? ORDER BY attempt DESC LIMIT 1"
        return await self._one(AttemptRow, where, run, step, item)

    async def attempt_counts(self, run: str) -> list[StepCount]:
        """Return how many attempts of each step of a run are in each phase."""
        statement = "SELECT step, phase, count(*) FROM attempts WHERE run=? GROUP BY step, phase"
        return [StepCount(*row) for row in await self._raw(statement, (run,))]

    async def published(self, run: str, limit: int) -> list[AttemptRow]:
        """Return the attempts of a run that published something, in the order in which they ended."""
        where = "run=? AND outputs<>'[]' ORDER BY ended_ns, step, item, attempt LIMIT ?"
        statement = f"SELECT {_ATTEMPT_COLUMNS} FROM attempts WHERE {where}"  # noqa: S608
        return await self._rows(AttemptRow, statement, (run, limit))

    async def jobs(self, tenant: str, limit: int) -> list[AttemptRow]:
        """Return attempts that batch systems carry out, newest first."""
        statement = (
            "SELECT * FROM attempts WHERE place<>'pool' AND place<>'' AND tenant=? "
            "ORDER BY started_ns DESC LIMIT ?"
        )
        return await self._rows(AttemptRow, statement, (tenant, limit))

    # -- decisions, files, outputs -----------------------------------------------------------

    async def decisions(self, event_id: str, source: str | None = None) -> list[Decision]:
        """Return what was decided for an event; without its source, for all events of this id.

        What an older Penstock decided knows no source, and is returned for each.
        """
        where, values = ("source IN (?, '')", (source,)) if source is not None else ("1=1", ())
        statement = f"SELECT * FROM decisions WHERE event_id=? AND {where} LIMIT 1000"  # noqa: S608
        return await self._rows(Decision, statement, (event_id, *values))

    async def decisions_about(self, subject: str, limit: int) -> list[Decision]:
        """Return what was decided for events about a subject, newest first."""
        statement = "SELECT * FROM decisions WHERE subject=? ORDER BY offset DESC LIMIT ?"
        return await self._rows(Decision, statement, (subject, limit))

    async def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the ledger's row of a path."""
        return await self._one(FileState, "storage=? AND path=?", storage, path)

    async def output(self, path: bytes) -> OutputRow | None:
        """Return who published a path last."""
        return await self._one(OutputRow, "path=?", path)

    async def outputs_between(self, start: bytes, end: bytes, limit: int) -> list[OutputRow]:
        """Return the outputs with paths from ``start`` up to, not including, ``end``."""
        statement = "SELECT * FROM outputs WHERE path>=? AND path<? ORDER BY path LIMIT ?"
        return await self._rows(OutputRow, statement, (start, end, limit))

    # -- definitions and dead letters --------------------------------------------------------

    async def definitions(self, kind: str, tenant: str, name: str = "") -> list[Definition]:
        """Return a tenant's definitions of one kind, by name and version, removed ones included."""
        where, values = "kind=? AND tenant=?", [kind, tenant]
        if name:
            where, values = f"{where} AND name=?", [*values, name]
        statement = f"SELECT * FROM definitions WHERE {where} ORDER BY name, version"  # noqa: S608
        return await self._rows(Definition, statement, tuple(values))

    async def dead_letters(
        self, tenant: str, state: str, before: tuple[int, str] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, newest first; an empty ``state`` means any."""
        where, values = "tenant=?", [tenant]
        if state:
            where, values = f"{where} AND state=?", [*values, state]
        bounds: tuple[Any, ...] = (*values, *(before or ()), limit)
        older = " AND (at_ns, id) < (?, ?)" if before else ""
        statement = f"SELECT * FROM dead_letters WHERE {where}{older} ORDER BY at_ns DESC, id DESC LIMIT ?"  # noqa: S608
        return await self._rows(DeadLetter, statement, bounds)

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """Return one dead letter."""
        return await self._one(DeadLetter, "id=?", letter)

    # -- numbers -----------------------------------------------------------------------------

    async def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many runs there are by phase, and dead letters by state."""
        found = await self._raw("SELECT what, state, number FROM counts WHERE number > 0", ())
        runs, letters = (
            {state: number for kind, state, number in found if kind == what}
            for what in ("runs", "dead_letters")
        )
        return runs, letters

    async def first_offsets(self, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Return where events from outside were told first, by source and id; unknown ones are absent."""
        statement = "SELECT offset FROM seen WHERE source=? AND event_id=?"

        def work() -> dict[tuple[str, str], int]:
            found = {key: self._select(statement, key) for key in ids}
            return {key: rows[0][0] for key, rows in found.items() if rows}

        return await self._in_thread(work)

    async def mean_work(self, workflow: str, newest: int = 200) -> tuple[int, float, float]:
        """Return how many of a workflow's newest runs were looked at, and their mean seconds of warm
        workers and of batch jobs."""
        statement = (
            "SELECT count(DISTINCT run), sum(CASE WHEN place='pool' THEN ended_ns-started_ns ELSE 0 END), "
            "sum(CASE WHEN place<>'pool' THEN ended_ns-started_ns ELSE 0 END) FROM attempts WHERE ended_ns>0 "
            "AND run IN (SELECT id FROM runs WHERE workflow>=? AND workflow<? "
            "ORDER BY started_ns DESC LIMIT ?)"
        )
        ((runs, pool_ns, batch_ns),) = await self._raw(statement, (f"{workflow}@", f"{workflow}A", newest))
        return runs, (pool_ns or 0) / 1e9 / max(runs, 1), (batch_ns or 0) / 1e9 / max(runs, 1)

    # -- parts -------------------------------------------------------------------------------

    async def _one(self, kind: type[R], where: str, *values: Any) -> R | None:
        found = await self._rows(kind, f"SELECT * FROM {TABLES[kind].name} WHERE {where}", values)  # noqa: S608
        return found[0] if found else None

    async def _rows(self, kind: type[R], statement: str, values: Sequence[Any]) -> list[R]:
        return await self._in_thread(lambda: [make(kind, row) for row in self._select(statement, values)])

    async def _raw(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return await self._in_thread(lambda: self._select(statement, values))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _select(self, statement: str, values: Sequence[Any]) -> list[Any]:
        deadline = monotonic() + QUERY_S_MAX
        try:
            connection = self._connection()
            connection.set_progress_handler(lambda: int(monotonic() > deadline), _STEPS_PER_LOOK)
            return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if "interrupt" in str(error):
                raise Timeout(
                    f"the question takes longer than {QUERY_S_MAX:g} s; ask for less", QUERY_S_MAX
                ) from error
            raise Unavailable(f"the state in {self.path} cannot be read now: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
            )
            self._own.connection = connection
            self._open.append(connection)
        return connection


def _run_where(query: RunQuery) -> tuple[str, tuple[Any, ...]]:
    parts: list[tuple[str, tuple[Any, ...]]] = [("tenant=?", (query.tenant,))]
    if query.phase:
        parts.append(("phase=?", (query.phase,)))
    if query.subject:
        parts.append(("subject=?", (query.subject,)))
    if query.trigger:
        parts.append(('"trigger"=?', (query.trigger,)))
    if "@" in query.workflow:
        parts.append(("workflow=?", (query.workflow,)))
    elif query.workflow:
        # Versions begin behind "@"; "A" is the character after it.
        parts.append(("workflow>=? AND workflow<?", (f"{query.workflow}@", f"{query.workflow}A")))
    if query.before is not None:
        parts.append(("(started_ns, id) < (?, ?)", query.before))
    values = tuple(value for _, given in parts for value in given)
    return " AND ".join(where for where, _ in parts), values
