"""The map of the flow: builds every part and connects them. The only place where rooms meet.

    sources -> log -> pump -> registry, triggers -> keeper -> dispatcher -> pool, batch queue
                ^                                                  |
                +------------ outbox <- step ended <- publisher <--+

Calls go down this list; whatever comes back enters by the log.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from time import time_ns

import msgspec

from penstock.batch.local import LocalQueue
from penstock.batch.settings import LocalQueueSettings
from penstock.core.errors import Invalid
from penstock.core.event import Event, encode
from penstock.core.job import JobNotice
from penstock.core.lifecycle import TriggerChange
from penstock.core.policy import LOCAL_TENANT
from penstock.core.ports import Answer, BatchSystem, Record, Source, SourceContext
from penstock.core.rows import DeadLetter, DeadLetterKind, RunRow, TimerRow
from penstock.core.workflow import Workflow
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings
from penstock.log.embedded import EmbeddedLog
from penstock.routing.index import FilterIndex
from penstock.routing.triggers import Triggers
from penstock.server.checkpoint import Checkpoint
from penstock.server.engine import Engine
from penstock.server.housekeeping import pinned, tidy
from penstock.server.jobs import Jobs
from penstock.server.kinds import open_sources
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.server.life import Life
from penstock.server.outbox import Outbox
from penstock.server.parts import Parts
from penstock.server.pump import STORAGES, Pump
from penstock.server.settings import Places, Settings, StorageSettings
from penstock.sources.folder import FolderSettings, FolderSource
from penstock.state.embedded import EmbeddedState
from penstock.storage.publish import PRIVATE, Publisher
from penstock.workflows.dispatcher import Dispatcher
from penstock.workflows.keeper import Keeper
from penstock.workflows.registry import Registry
from penstock.workflows.timers import Timers


def build(settings: Settings, places: Places, synced: Callable[[int], None], cgroup: str = "") -> Engine:
    """Return an engine, ready to ``start``. Call it in the running event loop.

    Args:
        settings: What the operator wants.
        places: Where things are kept.
        synced: Called with the end of the durable log whenever it rises.
        cgroup: Folder in which workers get control groups; empty for none.
    """
    life = Life()
    late = _Late(life)
    log = EmbeddedLog(places.state / "log" / "0", settings.log, synced, late.pinned)
    state = EmbeddedState(places.state / "state.db")
    letters = Letters(state)
    outbox = Outbox(log, late.refused, late.appended)

    triggers = Triggers(FilterIndex(), late.workflow_of, late.workflow_of_run)
    registry = Registry(state, triggers.changed)
    timers = Timers(state, late.due)
    roots = {storage.name: os.path.realpath(os.fsencode(storage.folder)) for storage in settings.storages}
    publisher = Publisher(roots, state, late.durable)
    runtime = Pool(_pool_settings(settings, places, roots, cgroup), late.answered)
    folders = tuple(os.fsdecode(root) for root in roots.values())
    jobs = Jobs(
        places.state / "jobs",
        places.state / "logs",
        folders,
        late.noticed,
        late.durable,
        publisher.collected,
    )
    batch: dict[str, BatchSystem] = {"local": LocalQueue(_queue_settings(settings, places), jobs.noticed)}
    dispatcher = Dispatcher(
        registry=registry,
        runtime=runtime,
        batch=batch,
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

    checkpoint = Checkpoint(log, state, stage, settings.checkpoint_s, late.broken)
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
        numbered=frozenset(f"{STORAGES}{storage.name}" for storage in settings.storages),
        resumed=late.resumed,
    )
    folders_watched: tuple[Source, ...] = tuple(
        FolderSource(
            _folder_settings(storage),
            ledger,
            late.dead_letter,
            publisher.published,
            moved=publisher.moved,
            begun=partial(publisher.watched, storage.name),
        )
        for storage in settings.storages
    )
    refused: dict[str, str] = {}
    outside = open_sources(
        settings.sources,
        lambda name: SourceContext(name=name, ledger=ledger, dead_letter=late.dead_letter),
        refused,
    )
    engine = Engine(
        Parts(
            settings=settings,
            places=places,
            log=log,
            state=state,
            outbox=outbox,
            letters=letters,
            registry=registry,
            triggers=triggers,
            timers=timers,
            publisher=publisher,
            runtime=runtime,
            batch=batch,
            dispatcher=dispatcher,
            keeper=keeper,
            checkpoint=checkpoint,
            pump=pump,
            sources=folders_watched + outside,
        ),
        life,
    )
    life.troubles.update(refused)
    late.engine = engine
    return engine


class _Late:
    """What points back up the flow: callbacks of parts that are built before their receivers."""

    engine: Engine

    def __init__(self, life: Life) -> None:
        self._life = life

    def pinned(self) -> int | None:
        self._life.spawn("housekeeping", tidy(self.engine.parts))
        return pinned(self.engine.parts)

    def appended(self, records: Sequence[Record]) -> None:
        self.engine.parts.pump.take(records)

    def answered(self, answer: Answer) -> None:
        self.engine.parts.dispatcher.answered(answer)

    def noticed(self, notice: JobNotice) -> None:
        self.engine.parts.dispatcher.noticed(notice)

    def due(self, row: TimerRow) -> None:
        self.engine.parts.dispatcher.due(row)

    def resumed(self, change: TriggerChange, since: int, until: int) -> None:
        self.engine.shard.resumed(change, since, until)

    def broken(self, error: BaseException) -> None:
        self._life.fail(error)

    async def durable(self) -> None:
        await self.engine.parts.checkpoint.durable()

    def refused(self, event: Event, error: Invalid) -> None:
        self.dead_letter(
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

    def dead_letter(self, letter: DeadLetter) -> None:
        self.engine.parts.letters.put(msgspec.structs.replace(letter, tenant=LOCAL_TENANT))
        self.engine.parts.checkpoint.touch()

    def workflow_of(self, tenant: str, reference: str) -> Workflow | None:
        return self.engine.parts.registry.workflows.get((tenant, reference))

    def workflow_of_run(self, run: str) -> str:
        active = self.engine.parts.keeper.active.get(run)
        if active is not None:
            return active.workflow.name
        row = self.engine.parts.state.get(RunRow, run)
        return row.workflow.rsplit("@", 1)[0] if row is not None else ""


def _pool_settings(settings: Settings, places: Places, roots: dict[str, bytes], cgroup: str) -> PoolSettings:
    chosen = PoolSettings(
        scratch=str(places.state / "scratch"),
        logs=str(places.state / "logs"),
        idle_s=settings.pool.idle_s,
        read=tuple(os.fsdecode(root) for root in roots.values()),
        cgroup=cgroup,
    )
    workers_max = settings.pool.workers_max
    return dataclasses.replace(chosen, workers_max=workers_max) if workers_max else chosen


def _queue_settings(settings: Settings, places: Places) -> LocalQueueSettings:
    default = LocalQueueSettings(folder=places.state / "queue")
    return dataclasses.replace(
        default,
        cores=settings.batch.cores or default.cores,
        memory_bytes=settings.batch.memory_bytes or default.memory_bytes,
    )


def _folder_settings(storage: StorageSettings) -> FolderSettings:
    default = FolderSettings(folder=storage.folder)
    return FolderSettings(
        folder=storage.folder,
        name=storage.name,
        ignore=(*default.ignore, PRIVATE, *storage.ignore),
        existing=storage.existing,
        accept_filesystems=storage.accept_filesystems,
    )
