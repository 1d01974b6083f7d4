"""Runs at a site for what is past: events of the log, files that are there already.

Each becomes ``run.requested`` in the partition of its event, under an id that is derived from trigger, event
and generation: whoever asks again, and however many ask, it is run once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from msgspec import Raw
from msgspec.structs import replace

from penstock.core import lifecycle
from penstock.core.errors import Unavailable
from penstock.core.event import Event, encode, file_record, path_of
from penstock.core.filter import View, compile_filter, parse
from penstock.core.lifecycle import RunRequest
from penstock.core.policy import LOCAL_TENANT
from penstock.core.ports import Record
from penstock.core.rows import Definition, DefinitionKind, Outcome, OutputRow
from penstock.core.workflow import Trigger
from penstock.log.kafka import KafkaLog
from penstock.log.kafka_reader import Reader
from penstock.routing.index import FilterIndex
from penstock.routing.triggers import Triggers
from penstock.state.postgres.state import PostgresState
from penstock.state.reader import StateReader
from penstock.workflows.registry import Registry

FETCH_S = 15.0
"""Longest wait for records that are there."""


async def deployed(reader: StateReader) -> Registry:
    """Return what is deployed now, read anew: another process may have deployed."""
    rows: list[Definition] = []
    for kind in DefinitionKind:
        rows += await reader.definitions(kind, LOCAL_TENANT)
    found = Registry(_Rows(rows), lambda _trigger, _id: None)
    found.load()
    return found


class _Rows:
    """Definitions as the registry asks for them."""

    def __init__(self, rows: list[Definition]) -> None:
        self._rows = rows

    def put(self, *rows: Definition) -> None:
        """Nothing is folded here."""

    def select(self, kind: type[Definition]) -> list[Definition]:  # noqa: ARG002 - there is one kind
        """Return all."""
        return self._rows


class Past:
    """Asks for runs of one trigger.

    Args:
        log: All partitions.
        reader: Of the state.
        state: For who published what.
        registry: What is deployed.
        trigger: Of which.
    """

    def __init__(
        self, log: KafkaLog, reader: StateReader, state: PostgresState, registry: Registry, trigger: Trigger
    ) -> None:
        self._log, self._reader, self._state = log, reader, state
        self._causes: dict[str, str] = {}
        self._trigger = trigger
        self._matches = compile_filter(parse(trigger.filter))
        self._triggers = Triggers(
            FilterIndex(),
            lambda tenant, reference: registry.workflows.get((tenant, reference)),
            lambda event: self._causes.get(event.cause or "", ""),
        )

    async def wanted(self, events: Sequence[Event]) -> list[Event]:
        """Return the events on which the trigger would start; not those of its own outputs, or of a ring."""
        found = [e for e in events if e.source != lifecycle.SOURCE and self._matches(View(e))]
        await self._learn([event for event in found if event.cause is not None])
        return [e for e in found if self._triggers.offered(self._trigger, e).outcome is Outcome.MATCHED]

    async def _learn(self, caused: Sequence[Event]) -> None:
        """Find out which workflows the runs were of that raised these events."""
        unknown = list({event.cause or "" for event in caused} - self._causes.keys())
        for run, row in (await self._reader.runs_of(unknown)).items():
            self._causes[run] = row.workflow.rsplit("@", 1)[0]
        await self._outputs(caused)
        for event in caused:
            output = self._state.output(path_of(event.subject)) if event.subject else None
            if event.cause and output is not None and output.run == event.cause:
                self._causes.setdefault(event.cause, output.workflow.rsplit("@", 1)[0])

    async def _outputs(self, events: Sequence[Event]) -> None:
        await self._state.prefetch({OutputRow: [(path_of(e.subject),) for e in events if e.subject]})

    async def with_causes(self, events: Sequence[Event]) -> list[Event]:
        """Return listed files' events, each with the run that published it, if nobody wrote to it since."""
        await self._outputs(events)
        return [self._with_cause(event) for event in events]

    def _with_cause(self, event: Event) -> Event:
        output = self._state.output(path_of(event.subject or ""))
        record = file_record(event)
        if output is None or record.inode != output.inode or (record.mtime_ns or 0) > output.published_ns:
            return event
        return replace(event, cause=output.run, depth=output.depth)

    async def request(self, events: Sequence[Event], principal: str, generation: int = 0) -> None:
        """Put a request for each event on the log, durably."""
        if events:
            await self._log.append_to(
                [(self._log.part_of(each), self._request(each, principal, generation)) for each in events]
            )

    def _request(self, event: Event, principal: str, generation: int) -> Event:
        trigger = self._trigger
        request = RunRequest(
            tenant=trigger.tenant,
            principal=principal,
            workflow=trigger.workflow,
            event=Raw(encode(event)),
            trigger=trigger.id,
            generation=generation,
        )
        nonce = lifecycle.run_id(trigger.tenant, trigger.id, event, generation)
        return lifecycle.request_event(lifecycle.RUN_REQUESTED, request, nonce, event.subject or event.id)


async def between(log: KafkaLog, since_ns: int, until_ns: int) -> AsyncIterator[Sequence[Record]]:
    """Yield the records of all partitions from a time up to, not including, another; to the millisecond.

    Raises:
        Unavailable: The brokers do not answer.
    """
    start, end = await log.position_at(since_ns), await log.position_at(until_ns)
    pairs = enumerate(zip(start.offsets, end.offsets, strict=True))
    left = {part: pair for part, pair in pairs if pair[0] < pair[1]}
    reader = await asyncio.to_thread(Reader, log.settings)
    try:
        await asyncio.to_thread(reader.place, {part: pair[0] for part, pair in left.items()})
        while left:
            records = await asyncio.to_thread(reader.fetch, FETCH_S)
            if not records:
                raise Unavailable(f"{log.place} does not give its records; try again")
            ends = {part: pair[1] for part, pair in left.items()}
            for record in records:
                if record.offset + 1 >= left.get(record.partition, (0, 0))[1]:
                    left.pop(record.partition, None)
            yield [each for each in records if each.offset < ends.get(each.partition, 0)]
    finally:
        await asyncio.to_thread(reader.close)
