"""Orders to compare a storage, where another process has the sources: it hears of them from the database."""

from __future__ import annotations

from typing import Any

from penstock.core.errors import NotFound
from penstock.core.event import path_of
from penstock.core.ports import Loss, SourceContext
from penstock.server.commands.wishes import ReconcileWish
from penstock.server.feeding import context_of, reconciling
from penstock.server.kinds import open_sources
from penstock.server.reconcile import opened, ordered
from penstock.server.shared import Shared
from penstock.server.site.feeder import SourceMemory, seen_by
from penstock.state.reader import StateReader


class Orders:
    """Takes orders, and losses of sources that are called here.

    Args:
        shared: Settings.
        memory: Where trees are opened.
        reader: Knows what was told.
    """

    def __init__(self, shared: Shared, memory: SourceMemory, reader: StateReader) -> None:
        self._shared = shared
        self._memory = memory
        self._reader = reader

    def context(self, name: str) -> SourceContext:
        """Return what a source of this name is given."""
        return context_of(self._memory, self._lost, name)

    def _lost(self, loss: Loss) -> None:
        opened(self._memory.state, loss.storage, loss.folder, loss.reason)
        self._memory.checkpoint.touch()

    async def reconcile(self, wish: ReconcileWish) -> dict[str, Any]:
        """Have a folder compared by whoever lists it, or say what that would tell."""
        if wish.dry_run:
            return await self._trial(wish)
        self._check(wish.storage)
        row = opened(self._memory.state, wish.storage, path_of(wish.folder) or b"/", wish.reason)
        await self._memory.checkpoint.durable()
        return ordered(row)

    def _check(self, storage: str) -> None:
        settings = self._shared.settings
        known = {each.name for each in settings.storages}
        known |= {getattr(entry.settings, "storage", "") for entry in settings.sources}
        if storage not in known:
            raise NotFound(f"there is no storage {storage!r}; known are: {', '.join(sorted(known - {''}))}")

    async def _trial(self, wish: ReconcileWish) -> dict[str, Any]:
        reconciler = reconciling(self._memory, self._shared, seen_by(self._reader))
        reconciler.add(open_sources(self._shared.settings.sources, self.context, {}))
        reconciler.load()
        return await reconciler.trial(wish.storage, path_of(wish.folder) or b"/")
