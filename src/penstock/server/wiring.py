"""The map of the flow: builds a shard's parts and connects them. The only place where rooms meet.

    sources -> log -> pump -> registry, triggers -> keeper -> dispatcher -> pool, batch queue
                ^                                                  |
                +------------ outbox <- step ended <- publisher <--+

Calls go down this list; whatever comes back enters by the log. An embedded installation has one shard
(``server.embedded``); at a site, each partition of the log has one, and processes own some of them
(``server.site``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from time import time_ns

from penstock.core.errors import Invalid
from penstock.core.event import Event, encode, path_of
from penstock.core.job import JobNotice
from penstock.core.lifecycle import TriggerChange
from penstock.core.policy import LOCAL_TENANT
from penstock.core.ports import Record, ShardLog, ShardState
from penstock.core.rows import DeadLetter, DeadLetterKind, RunRow, TimerRow
from penstock.core.workflow import Workflow
from penstock.routing.index import FilterIndex
from penstock.routing.triggers import Triggers
from penstock.server.calendar import Calendar
from penstock.server.checkpoint import Checkpoint
from penstock.server.jobs import Jobs
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.server.life import Life
from penstock.server.outbox import Outbox
from penstock.server.parts import Parts
from penstock.server.pump import Pump
from penstock.server.shard import Shard
from penstock.server.shared import Shared
from penstock.storage.publish import Publisher
from penstock.workflows.dispatcher import Dispatcher
from penstock.workflows.keeper import Keeper
from penstock.workflows.registry import Registry
from penstock.workflows.timers import Timers


def build_shard(
    shared: Shared,
    log: ShardLog,
    state: ShardState,
    *,
    partition: int = 0,
    alone: bool = True,
    numbered: frozenset[str] = frozenset(),
    life: Life | None = None,
    folder: Path | None = None,
) -> Shard:
    """Return a shard, ready to ``start``. Call it in the running event loop.

    Args:
        shared: What it shares with the process's other shards.
        log: Its partition.
        state: Its part of the state.
        partition: The partition's number.
        alone: Whether the log has no other partition.
        numbered: Sources whose contents the ledger numbers: no id of theirs comes twice.
        life: Of the shard, where it may end before its process; default: the process's.
        folder: For its jobs alone; default: the process's.
    """
    late = _Late()
    life = life or shared.life
    settings = shared.settings
    letters = Letters(state)
    outbox = Outbox(log, late.refused, late.appended)

    triggers = Triggers(FilterIndex(), late.workflow_of, late.cause_workflow)
    registry = Registry(state, triggers.changed)
    timers = Timers(state, late.due)
    publisher = Publisher(shared.roots, state, late.durable)
    jobs = Jobs(
        (folder or shared.folder) / "jobs",
        shared.places.state / "logs",
        tuple(os.fsdecode(root) for root in shared.roots.values()),
        late.noticed,
        late.durable,
        publisher.collected,
    )
    dispatcher = Dispatcher(
        registry=registry,
        runtime=shared.runtime,
        batch=shared.batch,
        make_job=jobs.make,
        job_ended=jobs.ended,
        publisher=publisher,
        timers=timers,
        put=state.put,
        emit=outbox.emit,
    )
    keeper = Keeper(
        state,
        registry,
        dispatcher,
        letters,
        outbox.emit,
        lambda offset: log.record(offset).event,
        settings.capacity,
    )

    def stage() -> None:
        outbox.flush()  # what was folded may be committed only when what it raised is on the log
        keeper.stage()
        dispatcher.stage()

    checkpoint = Checkpoint(log, state, stage, settings.checkpoint_s, life.fail)
    ledger = PendingLedger(state, checkpoint.touch)
    pump = Pump(
        log=log,
        state=state,
        ledger=ledger,
        registry=registry,
        triggers=triggers,
        letters=letters,
        keeper=keeper,
        checkpoint=checkpoint,
        numbered=numbered,
        resumed=late.resumed,
    )
    late.parts = Parts(
        settings=settings,
        places=shared.places,
        folder=folder or shared.folder,
        partition=partition,
        alone=alone,
        log=log,
        state=state,
        calendar=Calendar(state),
        ledger=ledger,
        outbox=outbox,
        letters=letters,
        registry=registry,
        triggers=triggers,
        timers=timers,
        publisher=publisher,
        runtime=shared.runtime,
        batch=shared.batch,
        jobs=jobs,
        dispatcher=dispatcher,
        keeper=keeper,
        checkpoint=checkpoint,
        pump=pump,
    )
    late.shard = Shard(late.parts, life)
    shared.returns.add(late.parts)
    return late.shard


class _Late:
    """What points back up the flow: callbacks of parts that are built before their receivers."""

    parts: Parts
    shard: Shard

    def appended(self, records: Sequence[Record]) -> None:
        self.parts.pump.take(records)

    def noticed(self, notice: JobNotice) -> None:
        self.parts.dispatcher.noticed(notice)

    def due(self, row: TimerRow) -> None:
        self.parts.dispatcher.due(row)

    def resumed(self, change: TriggerChange, since: int, until: int) -> None:
        self.shard.resumed(change, since, until)

    async def durable(self) -> None:
        await self.parts.checkpoint.durable()

    def refused(self, event: Event, error: Invalid) -> None:
        self.parts.dead_letter(
            DeadLetter(
                id=event.id,
                tenant=LOCAL_TENANT,
                kind=DeadLetterKind.EVENT,
                subject=event.subject or event.id,
                reason=str(error),
                body=encode(event),
                at_ns=time_ns(),
            )
        )

    def workflow_of(self, tenant: str, reference: str) -> Workflow | None:
        return self.parts.registry.workflows.get((tenant, reference))

    def cause_workflow(self, event: Event) -> str:
        """Return the workflow whose run raised an event; of other shards' runs what they published tells."""
        run = event.cause or ""
        active = self.parts.keeper.active.get(run)
        if active is not None:
            return active.workflow.name
        row = self.parts.state.get(RunRow, run)
        if row is not None:
            return row.workflow.rsplit("@", 1)[0]
        output = self.parts.state.output(path_of(event.subject)) if event.subject else None
        return output.workflow.rsplit("@", 1)[0] if output is not None and output.run == run else ""
