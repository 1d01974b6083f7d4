"""The engine of an embedded installation: one shard, the sources that feed it, their start and their end.

Sources begin when the shard has recovered, so that the ledger knows all that the log holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from penstock.core.event import Event
from penstock.core.ports import Source
from penstock.server.existing import Existing
from penstock.server.feeding import Feed
from penstock.server.housekeeping import keep_tidy, tidy
from penstock.server.reconcile import Reconciler
from penstock.server.shard import Shard
from penstock.server.shared import Shared


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
        self._feed = Feed(sources, shard.parts.ledger, reconciler, self._write, shared.life)
        self.existing = Existing(shard, sources, shared.life.troubles)

    async def start(self) -> None:
        """Recover, then let sources run."""
        await self.shard.start()
        if self._copy is not None:
            self.life.spawn("the copy of the log", self._copy.keep())
        self._shared.runtime.sweep_earlier()  # not before: what an earlier life left may still be published
        self._feed.start()
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

    async def _write(self, events: Sequence[Event]) -> bool:
        """Put on the log what was not told before, and fold it at once."""
        fresh = self.parts.pump.unseen(events)
        if fresh:
            self.parts.pump.take(await self.parts.log.append(fresh))
        return bool(fresh)

    def shown_end(self) -> int:
        """Return up to where the API can show the log."""
        return self.parts.log.durable_end if self._copy is None else self._copy.end

    async def stop(self) -> None:
        """End sources, then everything; what is under way is taken up again at the next start."""
        self.life.stopping.set()
        await self._feed.close()
        await self.life.close()
        await self.shard.quiet()
        await self._shared.close()
        if self._copy is not None:
            self._copy.close()
        await self.reconciler.close()
        await self.shard.finish()
