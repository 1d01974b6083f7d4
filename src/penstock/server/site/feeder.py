"""Role ``sources``: asks outside systems, and puts what they tell on the log, each event in its partition.

It owns no partition. What it remembers (positions, dead letters, files it told of) is state under a number
of its own, below 0; what was told twice after a crash is dropped by whoever folds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from penstock.core.errors import Refused, Unavailable
from penstock.core.event import Event
from penstock.core.ports import Source, SourceContext
from penstock.core.rows import DeadLetter
from penstock.log.kafka import KafkaLog
from penstock.server.checkpoint import Checkpoint
from penstock.server.kinds import loss_letter, open_sources
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.server.shared import Shared
from penstock.server.watch import watch
from penstock.state.postgres.state import PostgresState
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

    def context(self, name: str) -> SourceContext:
        """Return what a source of this name is given."""
        return SourceContext(
            name=name,
            ledger=self.ledger,
            dead_letter=self.dead_letter,
            lost=lambda loss: self.dead_letter(loss_letter(name, loss)),
            kept=self.checkpoint.durable,
        )

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep a letter, soon."""
        self._letters.keep(letter)
        self.checkpoint.touch()

    async def close(self) -> None:
        """Keep what is known, and let go."""
        await self.checkpoint.close()
        self._state.close()


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
        watched = tuple(
            watch(storage, memory.ledger, memory.dead_letter, memory.publisher, shared.runtime)
            for storage in shared.settings.storages
        )
        self.sources: Sequence[Source] = watched + open_sources(
            shared.settings.sources, memory.context, shared.life.troubles
        )

    def start(self) -> None:
        """Let all sources run."""
        for source in self.sources:
            self._life.spawn(f"source {source.name}", self._run(source))

    async def _run(self, source: Source) -> None:
        while not self._life.stopping.is_set():
            try:
                async for events in source.events():
                    await self.append(events)
                    self._life.troubles.pop(source.name, None)
            except Unavailable as error:
                self._life.trouble(source.name, str(error))
                logger.warning("source %s: %s", source.name, error)
                await asyncio.sleep(error.retry_after_s)
            except Refused as error:
                self._life.trouble(source.name, str(error))
                logger.error("source %s stays off: %s", source.name, error)
                return

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
        await self._memory.close()
        await asyncio.to_thread(self._log.close)
