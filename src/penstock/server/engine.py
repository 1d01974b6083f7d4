"""The engine of an embedded installation: one shard, the sources that feed it, their start and their end.

Sources begin when the shard has recovered, so that the ledger knows all that the log holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from penstock.core.errors import Refused, Unavailable
from penstock.core.event import Event
from penstock.core.ports import Source
from penstock.server.existing import Existing
from penstock.server.housekeeping import keep_tidy, tidy
from penstock.server.reconcile import Reconciler
from penstock.server.shard import Shard
from penstock.server.shared import Shared

logger = logging.getLogger("penstock.engine")


class Copy(Protocol):
    """A copy of a log that is elsewhere, for the API."""

    @property
    def end(self) -> int:
        """Offset behind its last record."""

    async def keep(self) -> None:
        """Copy for ever."""

    def close(self) -> None:
        """Let go."""


class Engine:
    """One installation's engine.

    Args:
        shared: Workers, queue and so on.
        shard: Folds the log.
        sources: Feed it.
        reconciler: Makes good what sources lost.
        copy: Of the log, where that is elsewhere.
    """

    def __init__(
        self,
        shared: Shared,
        shard: Shard,
        sources: Sequence[Source],
        reconciler: Reconciler,
        copy: Copy | None = None,
    ) -> None:
        self.parts = shard.parts
        self.life = shared.life
        self.shard = shard
        self.sources = sources
        self.reconciler = reconciler
        self._shared = shared
        self._copy = copy
        self.existing = Existing(shard, sources, shared.life.troubles)

    async def start(self) -> None:
        """Recover, then let sources run."""
        await self.shard.start()
        if self._copy is not None:
            self.life.spawn("the copy of the log", self._copy.keep())
        self._shared.runtime.sweep_earlier()  # not before: what an earlier life left may still be published
        self.reconciler.start(self._append)
        for source in self.sources:
            self.life.spawn(f"source {source.name}", self._run_source(source))
        await self._sources_ready()
        self.life.started.set()
        self.life.spawn("housekeeping", tidy(self.parts) if self._copy is None else keep_tidy(self.parts))

    async def _sources_ready(self) -> None:
        """Wait until every source that can work is watching, and what it found quietly is on disk."""
        waits = {source.name: asyncio.ensure_future(source.ready()) for source in self.sources}
        stopped = asyncio.ensure_future(self.life.stopping.wait())
        for name, wait in waits.items():
            trouble = asyncio.ensure_future(self.life.in_trouble(name))
            await asyncio.wait([wait, stopped, trouble], return_when=asyncio.FIRST_COMPLETED)
            trouble.cancel()
            wait.cancel()
        stopped.cancel()
        await self.parts.checkpoint.durable()

    async def _run_source(self, source: Source) -> None:
        ledger = self.parts.ledger
        while not self.life.stopping.is_set():
            ledger.told(source.name)
            try:
                async for events in source.events():
                    ledger.told(source.name)
                    await self._append(events)
                    self.reconciler.heard(source, len(events))
                    self.life.troubles.pop(source.name, None)
            except Unavailable as error:
                ledger.undo(source.name)  # a watched folder's name is its storage's
                self.life.trouble(source.name, str(error))
                logger.warning("source %s: %s", source.name, error)
                await asyncio.sleep(error.retry_after_s)
            except Refused as error:
                self.life.trouble(source.name, str(error))
                logger.error("source %s stays off: %s", source.name, error)
                return

    async def _append(self, events: Sequence[Event]) -> None:
        while True:
            fresh = self.parts.pump.unseen(events)
            if not fresh:
                return
            try:
                records = await self.parts.log.append(fresh)
            except Unavailable as error:
                self.life.trouble("log", str(error))
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)
            else:
                self.parts.pump.take(records)
                self.life.troubles.pop("log", None)
                return

    def shown_end(self) -> int:
        """Return up to where the API can show the log."""
        return self.parts.log.durable_end if self._copy is None else self._copy.end

    async def stop(self) -> None:
        """End sources, then everything; what is under way is taken up again at the next start."""
        self.life.stopping.set()
        for source in self.sources:
            await source.close()
        await self.life.close()
        await self.shard.quiet()
        await self._shared.close()
        if self._copy is not None:
            self._copy.close()
        await self.reconciler.close()
        await self.shard.finish()
