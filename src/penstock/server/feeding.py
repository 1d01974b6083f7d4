"""Sources connected to what they remember, and followed: the same on a laptop and at a site.

What differs is handed in: where things are remembered, and how events get onto the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from penstock.core.errors import Refused, Unavailable
from penstock.core.event import Event
from penstock.core.ports import LossSink, Source, SourceContext
from penstock.core.rows import DeadLetter
from penstock.server.checkpoint import Checkpoint
from penstock.server.comparison import Seen
from penstock.server.kinds import loss_letter, open_sources
from penstock.server.ledger import PendingLedger
from penstock.server.life import Life
from penstock.server.reconcile import Memory, Reconciler
from penstock.server.shared import Shared
from penstock.server.watch import watch
from penstock.storage.publish import Publisher

logger = logging.getLogger("penstock.sources")
LOG = "log"
Write = Callable[[Sequence[Event]], Awaitable[bool]]
"""Puts events on the log; returns whether there was anything to put there. Raises ``Unavailable``."""


class SourceMemory(Protocol):
    """What sources remember, and where."""

    @property
    def state(self) -> Memory:
        """Remembers trees, and who was heard of."""

    @property
    def ledger(self) -> PendingLedger:
        """What is known of files."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Commits it."""

    @property
    def publisher(self) -> Publisher:
        """Knows which files are results."""

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep a letter, soon."""


def context_of(memory: SourceMemory, lost: LossSink, name: str) -> SourceContext:
    """Return what a source of this name is given."""
    return SourceContext(
        name=name,
        ledger=memory.ledger,
        dead_letter=memory.dead_letter,
        lost=lost,
        kept=memory.checkpoint.durable,
    )


def reconciling(memory: SourceMemory, shared: Shared, seen: Seen) -> Reconciler:
    """Return what makes losses good."""
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


def opened(memory: SourceMemory, shared: Shared, reconciler: Reconciler) -> tuple[Source, ...]:
    """Return the sources that the settings name; one that cannot work is told among the troubles."""
    watched = tuple(
        watch(
            storage, memory.ledger, memory.dead_letter, memory.publisher, shared.runtime, reconciler.covered
        )
        for storage in shared.settings.storages
    )

    def context(name: str) -> SourceContext:
        return context_of(memory, partial(reconciler.lost, name), name)

    sources = watched + open_sources(shared.settings.sources, context, shared.life.troubles)
    reconciler.add(sources)
    return sources


class Feed:
    """Follows sources, each as a task of its own.

    Args:
        sources: Followed.
        ledger: Of the sources.
        reconciler: Hears that they told something.
        write: Puts events on the log.
        life: Of the process.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        ledger: PendingLedger,
        reconciler: Reconciler,
        write: Write,
        life: Life,
    ) -> None:
        self.sources = sources
        self.reconciler = reconciler
        self._ledger = ledger
        self._write = write
        self._life = life

    def start(self) -> None:
        """Let all sources run, and losses be made good."""
        self.reconciler.start(self.append)
        for source in self.sources:
            self._life.spawn(f"source {source.name}", self._follow(source))

    async def _follow(self, source: Source) -> None:
        while not self._life.stopping.is_set():
            self._ledger.told(source.name)
            try:
                async for events in source.events():
                    self._ledger.told(source.name)
                    await self.append(events)
                    self.reconciler.heard(source, len(events))
                    self._life.trouble(source.name, None)
            except Unavailable as error:
                self._ledger.undo(source.name)  # a watched folder's name is its storage's
                self._life.trouble(source.name, str(error))
                logger.warning("source %s: %s", source.name, error)
                await asyncio.sleep(error.retry_after_s)
            except Refused as error:
                self._life.trouble(source.name, str(error))
                logger.error("source %s stays off: %s", source.name, error)
                return

    async def append(self, events: Sequence[Event]) -> None:
        """Put events on the log; while that is away, wait, and the source with us."""
        while True:
            try:
                if await self._write(events):
                    self._life.trouble(LOG, None)
                return
            except Unavailable as error:
                self._life.trouble(LOG, str(error))
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)

    async def close(self) -> None:
        """End all sources."""
        for source in self.sources:
            await source.close()
