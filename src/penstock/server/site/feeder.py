"""Role ``sources``: asks outside systems, and puts what they tell on the log, each event in its partition.

It owns no partition. What it remembers (positions, dead letters, files it told of) is state under a number
of its own, below 0; what was told twice after a crash is dropped by whoever folds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from penstock.core.errors import Unavailable
from penstock.core.event import Event
from penstock.core.ports import Source
from penstock.core.rows import DeadLetter, TreeRow
from penstock.log.kafka import KafkaLog
from penstock.server.checkpoint import Checkpoint
from penstock.server.comparison import Seen
from penstock.server.feeding import Feed, opened, reconciling
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.server.shared import Shared
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


def seen_by(reader: StateReader) -> Seen:
    """Return what tells the ids of those events that were folded before, by whatever shard."""

    async def seen(events: Sequence[Event]) -> set[str]:
        known = await reader.first_offsets([(event.source, event.id) for event in events])
        return {event_id for _, event_id in known}

    return seen


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
        self._reconciler = reconciling(memory, shared, seen_by(self._reader))
        self.sources: Sequence[Source] = opened(memory, shared, self._reconciler)
        self._feed = Feed(self.sources, memory.ledger, self._reconciler, self._write, shared.life)

    def start(self) -> None:
        """Let all sources run."""
        self._feed.start()
        self._life.spawn("orders", self._follow())

    async def _follow(self) -> None:
        """Take in what other processes have opened, for ever."""
        own = self._memory.state.partition
        while True:
            try:
                async for told in changes(self._postgres):
                    if any(change.partition < 0 and change.partition != own for change in told):
                        self._reconciler.adopt(
                            [row for row in self._memory.state.select(TreeRow) if row.lost_ns]
                        )
            except Unavailable as error:
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)

    async def _write(self, events: Sequence[Event]) -> bool:
        await self._log.append(events)
        return True

    async def stop(self) -> None:
        """End all sources, and keep what they know."""
        await self._feed.close()
        await self._reconciler.close()
        await self._memory.close()
        await self._reader.close()
        await asyncio.to_thread(self._log.close)
