"""Reads the state from another process than the one that writes it: read-only, in threads of its own.

What is read is what was committed; that lags behind the log by a few hundredths of a second. The same
questions go to SQLite and to PostgreSQL, where rows of all shards are seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    ColumnElement,
    LargeBinary,
    Select,
    Table,
    and_,
    case,
    distinct,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)

from penstock.core.rows import (
    AttemptRow,
    DeadLetter,
    Decision,
    Definition,
    FileState,
    HeardRow,
    OutputRow,
    Row,
    RunRow,
    Seen,
    TreeRow,
)
from penstock.state.door import THREADS, Door, SqliteDoor
from penstock.state.making import make
from penstock.state.questions import RunQuery, StepCount, where

__all__ = ["RunQuery", "StateReader", "StepCount"]

LARGE = {RunRow: "snapshot", AttemptRow: "result"}
"""Columns that lists do not need."""
DECISIONS_MAX = 1000
NOT_IN_POOL = literal_column("place <> 'pool'", Boolean)
R = TypeVar("R", bound=Row)
T = TypeVar("T")


class StateReader:
    """A read-only view of a state. Safe to share between tasks."""

    def __init__(self, place: Path | Door) -> None:
        """Connect later, when something is asked.

        Args:
            place: A SQLite file, or the door to another database.
        """
        self.door: Door = SqliteDoor(place) if isinstance(place, Path) else place
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="state-reader")

    async def close(self) -> None:
        """Let go, once the queries under way have ended."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        self.door.close()

    # -- runs --------------------------------------------------------------------------------

    async def run(self, run: str) -> RunRow | None:
        """Return a run, its snapshot included."""
        return await self._one(RunRow, self._all(RunRow).where(self._c(RunRow).id == run))

    async def shard_of(self, run: str) -> int:
        """Return the number of the shard that folds a run; 0 where there is one, or the run is unknown."""
        c = self._c(RunRow)
        found = await self._raw(select(c["shard"]).where(c.id == run)) if "shard" in c else []
        return int(found[0][0]) if found else 0

    async def runs(self, query: RunQuery) -> list[RunRow]:
        """Return runs, newest first, without their snapshots."""
        c = self._c(RunRow)
        newest = self._listed(RunRow).order_by(c.started_ns.desc(), c.id.desc())
        return await self._rows(RunRow, newest.where(where(c, query)).limit(query.limit))

    async def runs_of(self, ids: Sequence[str]) -> dict[str, RunRow]:
        """Return these runs by id, without their snapshots; unknown ones are absent."""
        found: dict[str, RunRow] = {}
        for run in ids:
            for row in await self._rows(RunRow, self._listed(RunRow).where(self._c(RunRow).id == run)):
                found[run] = row
        return found

    async def attempts(self, run: str, step: str | None = None, limit: int = 1000) -> list[AttemptRow]:
        """Return attempts of a run in the order of their starts, without their results."""
        c = self._c(AttemptRow)
        wanted = self._listed(AttemptRow).where(c.run == run)
        if step is not None:
            wanted = wanted.where(c.step == step)
        ordered = wanted.order_by(c.started_ns, c.step, c.item, c.attempt)
        return await self._rows(AttemptRow, ordered.limit(limit))

    async def attempt(self, run: str, step: str, item: int, attempt: int) -> AttemptRow | None:
        """Return one attempt; with attempt 0 the last one of the step (and item)."""
        c = self._c(AttemptRow)
        wanted = self._all(AttemptRow).where(c.run == run, c.step == step, c.item == item)
        if attempt:
            return await self._one(AttemptRow, wanted.where(c.attempt == attempt))
        return await self._one(AttemptRow, wanted.order_by(c.attempt.desc()).limit(1))

    async def attempt_counts(self, run: str) -> list[StepCount]:
        """Return how many attempts of each step of a run are in each phase."""
        c = self._c(AttemptRow)
        counted = select(c.step, c.phase, func.count()).where(c.run == run).group_by(c.step, c.phase)
        return [StepCount(*row) for row in await self._raw(counted)]

    async def published(self, run: str, limit: int) -> list[AttemptRow]:
        """Return the attempts of a run that published something, in the order in which they ended."""
        c = self._c(AttemptRow)
        wanted = self._listed(AttemptRow).where(c.run == run, c.outputs != "[]")
        return await self._rows(
            AttemptRow, wanted.order_by(c.ended_ns, c.step, c.item, c.attempt).limit(limit)
        )

    async def jobs(self, tenant: str, limit: int) -> list[AttemptRow]:
        """Return attempts that batch systems carry out, newest first."""
        c = self._c(AttemptRow)
        # The first condition is that of an index, whose words it has.
        wanted = self._all(AttemptRow).where(NOT_IN_POOL, c.place != "", c.tenant == tenant)
        return await self._rows(AttemptRow, wanted.order_by(c.started_ns.desc()).limit(limit))

    # -- decisions, files, outputs -----------------------------------------------------------

    async def decisions(self, event_id: str, source: str | None = None) -> list[Decision]:
        """Return what was decided for an event; without its source, for all events of this id.

        What an older Penstock decided knows no source, and is returned for each.
        """
        c = self._c(Decision)
        wanted = self._all(Decision).where(c.event_id == event_id)
        if source is not None:
            wanted = wanted.where(or_(c.source == source, c.source == ""))
        return await self._rows(Decision, wanted.order_by(c.source, c.trigger).limit(DECISIONS_MAX))

    async def decisions_about(self, subject: str, limit: int) -> list[Decision]:
        """Return what was decided for events about a subject, newest first."""
        c = self._c(Decision)
        wanted = self._all(Decision).where(c.subject == subject)
        return await self._rows(Decision, wanted.order_by(c.offset.desc()).limit(limit))

    async def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the ledger's row of a path."""
        c = self._c(FileState)
        return await self._one(
            FileState, self._all(FileState).where(c.storage == storage, self._is(c.path, path))
        )

    async def output(self, path: bytes) -> OutputRow | None:
        """Return who published a path last."""
        return await self._one(OutputRow, self._all(OutputRow).where(self._is(self._c(OutputRow).path, path)))

    async def outputs_between(self, start: bytes, end: bytes, limit: int) -> list[OutputRow]:
        """Return the outputs with paths from ``start`` up to, not including, ``end``."""
        ordered = self.door.ordered
        paths = ordered(self._c(OutputRow).path)
        starts, ends = ordered(literal(start, LargeBinary)), ordered(literal(end, LargeBinary))
        wanted = self._all(OutputRow).where(paths[-1] >= start, paths[-1] < end)
        if len(paths) > 1:
            wanted = wanted.where(paths[0] >= starts[0], paths[0] <= ends[0])
        return await self._rows(OutputRow, wanted.order_by(*paths).limit(limit))

    # -- definitions and dead letters --------------------------------------------------------

    async def definitions(self, kind: str, tenant: str, name: str = "") -> list[Definition]:
        """Return a tenant's definitions of one kind, by name and version, removed ones included."""
        c = self._c(Definition)
        wanted = self._all(Definition).where(c.kind == kind, c.tenant == tenant)
        if name:
            wanted = wanted.where(c.name == name)
        shard = [c["shard"]] if "shard" in c else []
        rows = await self._rows(Definition, wanted.order_by(c.name, c.version, *shard))
        return list({(row.name, row.version): row for row in reversed(rows)}.values())[::-1]  # one shard's

    async def dead_letters(
        self, tenant: str, state: str, before: tuple[int, str] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, newest first; an empty ``state`` means any."""
        c = self._c(DeadLetter)
        wanted = self._all(DeadLetter).where(c.tenant == tenant)
        if state:
            wanted = wanted.where(c.state == state)
        if before is not None:
            wanted = wanted.where(tuple_(c.at_ns, c.id) < tuple_(*before))
        return await self._rows(DeadLetter, wanted.order_by(c.at_ns.desc(), c.id.desc()).limit(limit))

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """Return one dead letter."""
        return await self._one(DeadLetter, self._all(DeadLetter).where(self._c(DeadLetter).id == letter))

    # -- completeness ------------------------------------------------------------------------

    async def trees(self) -> list[TreeRow]:
        """Return what is known of trees, by storage and folder."""
        c = self._c(TreeRow)
        return await self._rows(TreeRow, self._all(TreeRow).order_by(c.storage, c.folder))

    async def heard(self) -> list[HeardRow]:
        """Return who was heard of, by source and door."""
        c = self._c(HeardRow)
        return await self._rows(HeardRow, self._all(HeardRow).order_by(c.source, c.door))

    # -- numbers -----------------------------------------------------------------------------

    async def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many runs there are by phase, and dead letters by state."""
        return (
            await self._counted(self.door.tables[RunRow], "phase"),
            await self._counted(self.door.tables[DeadLetter], "state"),
        )

    async def _counted(self, table: Table, column: str) -> dict[str, int]:
        kept = self.door.counts
        if kept is None:
            question = select(table.c[column], func.count()).group_by(table.c[column])
        else:
            question = select(kept.c.state, kept.c.number).where(kept.c.what == table.name, kept.c.number > 0)
        return {state: number for state, number in await self._raw(question)}  # noqa: C416 - rows, not pairs

    async def first_offsets(self, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Return where events from outside were told first, by source and id; unknown ones are absent."""
        c = self._c(Seen)
        found: dict[tuple[str, str], int] = {}
        for source in {source for source, _ in ids}:
            names = [event_id for its_source, event_id in ids if its_source == source]
            asked = select(c.event_id, c.offset).where(c.source == source, c.event_id.in_(names))
            found |= {(source, event_id): offset for event_id, offset in await self._raw(asked)}
        return found

    async def mean_work(self, workflow: str, newest: int = 200) -> tuple[int, float, float]:
        """Return how many of a workflow's newest runs were looked at, and their mean seconds of warm
        workers and of batch jobs."""
        runs, c = self._c(RunRow), self._c(AttemptRow)
        ids = select(runs.id).where(runs.workflow >= f"{workflow}@", runs.workflow < f"{workflow}A")
        took, in_pool = c.ended_ns - c.started_ns, c.place == "pool"
        question = select(
            func.count(distinct(c.run)),
            func.sum(case((in_pool, took), else_=0)),
            func.sum(case((in_pool, 0), else_=took)),
        ).where(c.ended_ns > 0, c.run.in_(ids.order_by(runs.started_ns.desc()).limit(newest)))
        ((count, pool_ns, batch_ns),) = await self._raw(question)
        return count, float(pool_ns or 0) / 1e9 / max(count, 1), float(batch_ns or 0) / 1e9 / max(count, 1)

    # -- parts -------------------------------------------------------------------------------

    def _c(self, kind: type[Row]) -> Any:
        return self.door.tables[kind].c

    def _all(self, kind: type[Row]) -> Select[Any]:
        return select(*[self._c(kind)[name] for name in kind.__struct_fields__])

    def _listed(self, kind: type[Row]) -> Select[Any]:
        """Select every column, an empty one in the place of a large one."""
        empty = LARGE.get(kind)
        return select(
            *[
                literal(b"", LargeBinary).label(name) if name == empty else self._c(kind)[name]
                for name in kind.__struct_fields__
            ]
        )

    def _is(self, path: ColumnElement[bytes], value: bytes) -> ColumnElement[bool]:
        ours, given = self.door.ordered(path), self.door.ordered(literal(value, LargeBinary))
        return and_(*[one == other for one, other in zip(ours, given, strict=True)])

    async def _one(self, kind: type[R], question: Select[Any]) -> R | None:
        found = await self._rows(kind, question)
        return found[0] if found else None

    async def _rows(self, kind: type[R], question: Select[Any]) -> list[R]:
        return await self._in_thread(lambda: [make(kind, row) for row in self.door.ask(question)])

    async def _raw(self, question: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        return await self._in_thread(lambda: self.door.ask(question))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
