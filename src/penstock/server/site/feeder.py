"""Role ``sources``: asks outside systems, and puts what they tell on the log, each event in its partition.

It owns no partition. What it remembers (positions, dead letters, files it told of) is state under a number
of its own, below 0; what was told twice after a crash is dropped by whoever folds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from penstock.core.errors import Refused, Unavailable
from penstock.core.event import Event
from penstock.core.ports import LossSink, Source, SourceContext
from penstock.core.rows import DeadLetter, TreeRow
from penstock.log.kafka import KafkaLog
from penstock.server.checkpoint import Checkpoint
from penstock.server.kinds import loss_letter, open_sources
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.server.reconcile import Reconciler
from penstock.server.shared import Shared
from penstock.server.watch import watch
from penstock.state.postgres.changes import changes
from penstock.state.postgres.door import PostgresDoor
from penstock.state.postgres.state import PostgresState
from penstock.state.reader import StateReader
from penstock.storage.publish import Publisher

logger = logging.getLogger("penstock.site")
PENDING_MAX = 200_000
"""Files told of whose events may not be folded yet; older ones are looked up in the state."""


class SourceMemory:
    """What the sources of one process remember.

    Args:
        shared: Settings, troubles.
        log: Synced before anything is remembered.
        state: Under a number below 0.
    """

    def __init__(self, shared: Shared, log: KafkaLog, state: PostgresState) -> None:
        self._state = state
        self._letters = Letters(state)
        self.checkpoint = Checkpoint(log, state, lambda: None, shared.settings.checkpoint_s, shared.life.fail)
        self.ledger = PendingLedger(state, self.checkpoint.touch, PENDING_MAX)
        self.publisher = Publisher(shared.roots, state, self.checkpoint.durable)

    def context(self, name: str, lost: LossSink) -> SourceContext:
        """Return what a source of this name is given."""
        return SourceContext(
            name=name,
            ledger=self.ledger,
            dead_letter=self.dead_letter,
            lost=lost,
            kept=self.checkpoint.durable,
        )

    @property
    def state(self) -> PostgresState:
        """What is behind it."""
        return self._state

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep a letter, soon."""
        self._letters.keep(letter)
        self.checkpoint.touch()

    async def close(self) -> None:
        """Keep what is known, and let go."""
        await self.checkpoint.close()
        self._state.close()


def reconciling(shared: Shared, memory: SourceMemory, reader: StateReader) -> Reconciler:
    """Return what makes losses good."""

    async def seen(events: Sequence[Event]) -> set[str]:
        known = await reader.first_offsets([(event.source, event.id) for event in events])
        return {event_id for _, event_id in known}

    return Reconciler(
        memory.state,
        memory.ledger,
        staged=memory.checkpoint.touch,
        durable=memory.checkpoint.durable,
        seen=seen,
        unlisted=lambda source, loss: memory.dead_letter(loss_letter(source, loss)),
        files_per_s=shared.settings.reconcile.files_per_s,
        life=shared.life,
    )


class Feeder:
    """The sources of one process.

    Args:
        shared: Settings, storages, troubles.
        log: All partitions.
        memory: Of the sources.
    """

    def __init__(self, shared: Shared, log: KafkaLog, memory: SourceMemory) -> None:
        self._life = shared.life
        self._log = log
        self._memory = memory
        self._postgres = shared.settings.postgres
        self._reader = StateReader(PostgresDoor(self._postgres))
        reconciler = self.reconciler = reconciling(shared, memory, self._reader)
        watched = tuple(
            watch(
                storage, memory.ledger, memory.dead_letter, memory.publisher, shared.runtime,
                reconciler.covered,
            )
            for storage in shared.settings.storages
        )  # fmt: skip

        def context(name: str) -> SourceContext:
            return memory.context(name, partial(reconciler.lost, name))

        self.sources: Sequence[Source] = watched + open_sources(
            shared.settings.sources, context, shared.life.troubles
        )
        reconciler.add(self.sources)

    def start(self) -> None:
        """Let all sources run."""
        self.reconciler.start(self.append)
        self._life.spawn("orders", self._follow())
        for source in self.sources:
            self._life.spawn(f"source {source.name}", self._run(source))

    async def _run(self, source: Source) -> None:
        ledger = self._memory.ledger
        while not self._life.stopping.is_set():
            ledger.told(source.name)
            try:
                async for events in source.events():
                    ledger.told(source.name)
                    await self.append(events)
                    self.reconciler.heard(source, len(events))
                    self._life.troubles.pop(source.name, None)
            except Unavailable as error:
                ledger.undo(source.name)  # a watched folder's name is its storage's
                self._life.trouble(source.name, str(error))
                logger.warning("source %s: %s", source.name, error)
                await asyncio.sleep(error.retry_after_s)
            except Refused as error:
                self._life.trouble(source.name, str(error))
                logger.error("source %s stays off: %s", source.name, error)
                return

    async def _follow(self) -> None:
        """Take in what other processes have opened, for ever."""
        own = self._memory.state.partition
        while True:
            try:
                async for told in changes(self._postgres):
                    if any(change.partition < 0 and change.partition != own for change in told):
                        self.reconciler.adopt(
                            [row for row in self._memory.state.select(TreeRow) if row.lost_ns]
                        )
            except Unavailable as error:
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)

    async def append(self, events: Sequence[Event]) -> None:
        """Put events on the log; while the brokers are away, wait, and the source with us."""
        while True:
            try:
                await self._log.append(events)
            except Unavailable as error:
                self._life.trouble("log", str(error))
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)
            else:
                self._life.troubles.pop("log", None)
                return

    async def stop(self) -> None:
        """End all sources, and keep what they know."""
        for source in self.sources:
            await source.close()
        await self.reconciler.close()
        await self._memory.close()
        await self._reader.close()
        await asyncio.to_thread(self._log.close)
