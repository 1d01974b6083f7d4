"""``penstock backtest``: triggers against the log as it is, without a server and without running anything.

What fires is decided by the code that decides live. What stands between an event and its run is looked up
in the state: ids that came twice, and which workflow's run raised an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from penstock.core import lifecycle
from penstock.core.event import decode
from penstock.core.ports import Record
from penstock.core.rows import DefinitionKind
from penstock.core.workflow import Trigger, Workflow
from penstock.log.reader import Reader
from penstock.routing.backtest import Backtest, Fired
from penstock.server.pump import WISHES
from penstock.state.door import Door
from penstock.state.reader import StateReader
from penstock.workflows.deployment import Deployment

BLOCK = 1000
"""Records looked at between two questions to the state."""
CAUSES_MAX = 100_000
"""Runs whose workflow is remembered."""


class Cost(Struct, frozen=True, kw_only=True):
    """What a run of a workflow has cost on the average, of the newest that were kept.

    Attributes:
        runs: How many that is; with 0 nothing is known.
        pool_s: Seconds of warm workers.
        batch_s: Seconds of batch jobs.
    """

    runs: int
    pool_s: float
    batch_s: float


class Report(Struct, frozen=True, kw_only=True):
    """What a back-test found.

    Attributes:
        looked: Events looked at.
        first: Offset of the first of them.
        until: Offset behind the last one.
        fired: One for each trigger.
        costs: By the trigger's name.
    """

    looked: int
    first: int
    until: int
    fired: tuple[Fired, ...]
    costs: dict[str, Cost]


class Past:
    """The log and the state of an installation, read-only.

    Args:
        folder: Of the state.
        tenant: Whose.
        numbered: Sources whose events are never told twice.
        door: To the database of a site, where the log in ``folder`` is a copy with offsets of its own.
    """

    def __init__(self, folder: Path, tenant: str, numbered: frozenset[str], door: Door | None = None) -> None:
        self._log = Reader(folder / "log" / "0")
        self._state = StateReader(door or folder / "state.db")
        self._told: set[int] | None = set() if door is not None else None
        self._tenant = tenant
        self._numbered = numbered
        self._causes: dict[str, str] = {}

    async def close(self) -> None:
        """Let go."""
        self._log.close()
        await self._state.close()

    async def triggers(self) -> list[Trigger]:
        """Return what is deployed."""
        rows = await self._state.definitions(DefinitionKind.TRIGGER, self._tenant)
        return [msgspec.json.decode(row.body, type=Trigger) for row in rows if row.active]

    async def workflows(self) -> dict[tuple[str, str], Workflow]:
        """Return all workflows, by tenant and reference."""
        rows = await self._state.definitions(DefinitionKind.WORKFLOW, self._tenant)
        found = [msgspec.json.decode(row.body, type=Workflow) for row in rows]
        return {(each.tenant, each.reference): each for each in found}

    async def test(
        self,
        wanted: Sequence[Trigger],
        workflows: dict[str, Workflow],
        since_ns: int,
        until_ns: int | None,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        most: int | None = None,
    ) -> Report:
        """Try triggers on the events appended between two times.

        Args:
            wanted: Triggers to try.
            workflows: Theirs, by name without version.
            since_ns: POSIX nanoseconds.
            until_ns: The same; None means up to the end.
            progress: Told how many records are done, and how many there are, now and then.
            most: Look at no more records than these.
        """
        first = max(self._log.first(), self._log.offset_at(since_ns))
        until = self._log.offset_at(until_ns if until_ns is not None else (1 << 63) - 1)
        until = until if most is None else min(until, first + most)
        tested = Backtest(
            wanted,
            workflows,
            await self.triggers(),
            await self.workflows(),
            lambda event: self._causes.get(event.cause or "", ""),
        )
        frames = self._log.frames(first, until)
        while block := [Record(0, at, ns, decode(body)) for at, ns, body in islice(frames, BLOCK)]:
            await self._look_up_causes(block)
            for record in await self._told_once(block):
                tested.look(record)
            progress(block[-1].offset + 1 - first, until - first)
        fired = tuple(tested.fired.values())
        return Report(
            looked=tested.looked,
            first=first,
            until=until,
            fired=fired,
            costs={each.trigger: await self._cost(each.workflow) for each in fired},
        )

    async def _look_up_causes(self, block: Sequence[Record]) -> None:
        """Know which workflows' runs raised these events."""
        causes = {record.event.cause for record in block if record.event.cause} - self._causes.keys()
        found = await self._state.runs_of(sorted(causes)) if causes else {}
        for run, row in found.items():
            self._causes[run] = row.workflow.rsplit("@", 1)[0]
        for run in list(islice(self._causes, max(len(self._causes) - CAUSES_MAX, 0))):
            del self._causes[run]

    async def _told_once(self, block: Sequence[Record]) -> list[Record]:
        """Leave out wishes, and events that were told before."""
        if self._told is not None:
            return [
                each for each in block if each.event.type not in WISHES and self._is_new(each, self._told)
            ]
        foreign = {(r.event.source, r.event.id): r.offset for r in reversed(block) if self._is_foreign(r)}
        firsts = foreign | await self._state.first_offsets(list(foreign)) if foreign else {}
        return [
            record
            for record in block
            if record.event.type not in WISHES
            and firsts.get((record.event.source, record.event.id), record.offset) == record.offset
        ]

    def _is_new(self, record: Record, told: set[int]) -> bool:
        if not self._is_foreign(record):
            return True
        key, before = hash((record.event.source, record.event.id)), len(told)
        told.add(key)
        return len(told) > before

    def _is_foreign(self, record: Record) -> bool:
        source = record.event.source
        return source != lifecycle.SOURCE and source not in self._numbered

    async def _cost(self, workflow: str) -> Cost:
        runs, pool_s, batch_s = await self._state.mean_work(workflow.partition("@")[0])
        return Cost(runs=runs, pool_s=pool_s, batch_s=batch_s)


def candidates(deployment: Deployment) -> tuple[Sequence[Trigger], dict[str, Workflow]]:
    """Return the triggers and workflows of a file that is not deployed, or is to be deployed anew."""
    return deployment.triggers, {each.name: each for each in deployment.workflows}


def deployed(
    name: str, triggers: Sequence[Trigger], workflows: dict[tuple[str, str], Workflow]
) -> Iterator[Trigger]:
    """Yield the deployed triggers of this name, with or without namespace, whose workflow is known."""
    for trigger in triggers:
        is_meant = name in (trigger.name, trigger.name.rsplit("/", 1)[-1])
        if is_meant and (trigger.tenant, trigger.workflow) in workflows:
            yield trigger
