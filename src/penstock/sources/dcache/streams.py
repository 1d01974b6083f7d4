"""dCache's event streams as a source: folders of its namespace, watched through the frontend.

How the parts work together::

    stream ─► sse ─► inbox ─► notices ─┬─► looks (at the namespace) ─► told (events)
                                       └─► walk (watch, then list) ─┘

``life`` is one life of it, from the opening of its channel to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import ClassVar

from msgspec import Struct

from penstock.core.errors import Unavailable
from penstock.core.event import Event
from penstock.core.ports import Lister, SourceContext
from penstock.sources.dcache.compare import compare
from penstock.sources.dcache.frontend import Frontend
from penstock.sources.dcache.knowledge import Knowledge
from penstock.sources.dcache.life import Life, Memory
from penstock.sources.dcache.listing import NamespaceLister
from penstock.sources.dcache.looks import Looks
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.told import Teller
from penstock.sources.dcache.walk import Walker
from penstock.sources.dcache.watches import Watches
from penstock.sources.ignore import Ignore

BACK_OFF_S = (0.1, 0.5, 2.0, 5.0, 15.0, 60.0)
"""How long to wait before the first, the second … attempt to connect again."""


class DCacheSseSource:
    """``core.ports.Source`` for folders of a dCache.

    Args:
        settings: What is watched, and how.
        context: Name, ledger, dead letters, losses.
    """

    Settings: ClassVar[type[Struct]] = DCacheSseSettings

    def __init__(self, settings: DCacheSseSettings, context: SourceContext) -> None:
        self.name = context.name
        self._settings = settings
        self._context = context
        self._memory = Memory(Knowledge(settings.storage, context.ledger))
        self._ready = asyncio.Event()
        self._failures = 0
        self._life: Life | None = None
        self._closed = False

    @classmethod
    def open(cls, settings: DCacheSseSettings, context: SourceContext) -> DCacheSseSource:
        """Return a source; nothing is connected before ``events`` is asked for."""
        return cls(settings, context)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield batches of events; see ``core.ports.Source``.

        Raises:
            Unavailable: The frontend is away, refuses the token, or a folder cannot be watched.
            Refused: It can never work like this.
        """
        if self._closed:
            return
        begun = asyncio.get_running_loop().time()
        try:
            async with Frontend(self._settings) as frontend:
                root = await frontend.root()
                life = Life(
                    self._settings,
                    self._context,
                    frontend,
                    self._memory,
                    root,
                    self._ignored(root),
                    self._ready,
                )
                self._life = life
                async for batch in life.events():
                    yield batch
        except Unavailable as error:
            if asyncio.get_running_loop().time() - begun > BACK_OFF_S[-1]:
                self._failures = 0
            least = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
            self._failures += 1
            error.retry_after_s = max(least, error.retry_after_s if error.retry_after_s > 1 else 0)
            raise

    async def ready(self) -> None:
        """Return once every folder is watched; somebody has to follow ``events`` meanwhile."""
        await self._ready.wait()

    async def listing(self, folder: bytes | None = None) -> AsyncIterator[Sequence[Event]]:
        """Yield an event for every file that is there, under the id that its content has or would have had.

        Args:
            folder: Only what is below this folder of the namespace; default: all that is watched.

        Raises:
            Unavailable: The frontend is away.
        """
        async with Frontend(self._settings) as frontend:
            walker, looks, folders = await self._lister(frontend, folder)
            async for files in walker.walk(folders, None):
                if events := looks.listed(files):
                    yield events

    async def reconcile(self, folder: bytes | None = None) -> AsyncIterator[Sequence[Event]]:
        """Yield the difference between the namespace and the ledger: what was never told.

        Args:
            folder: Only what is below this folder of the namespace; default: all that is watched.

        Raises:
            Unavailable: The frontend is away.
        """
        async with Frontend(self._settings) as frontend:
            walker, looks, folders = await self._lister(frontend, folder)
            async for batch in compare(walker, looks, folders, None):
                yield batch

    async def _lister(self, frontend: Frontend, folder: bytes | None) -> tuple[Walker, Looks, list[str]]:
        root = await frontend.root()
        ignored = self._ignored(root)
        walker = Walker(self._settings, frontend, Watches(), root, ignored, self._context)
        looks = Looks(
            self._settings,
            frontend,
            walker.shown,
            self._memory.known,
            Teller(self._settings.storage),
            lambda _paths: None,
        )
        return walker, looks, self._below(root, folder)

    def lister(self) -> Lister:
        """Return what lists the folders; see ``core.ports.Listable``."""
        wanted = self._settings
        return NamespaceLister(wanted.storage, wanted, wanted.folders, self._ignored, wanted.unfinished_s)

    async def close(self) -> None:
        """End ``events``, which lets go of the channel; it is kept by the frontend for a while."""
        self._closed = True
        if self._life is not None:
            self._life.close()

    def _folders(self, root: str) -> list[str]:
        return [root + each.rstrip("/") or "/" for each in self._settings.folders]

    def _below(self, root: str, folder: bytes | None) -> list[str]:
        """Return where a listing begins: what is both watched and below ``folder``."""
        folders = self._folders(root)
        if folder is None:
            return folders
        asked = folder.decode().rstrip("/")
        inside = [each for each in folders if each == asked or each.startswith(asked + "/")]
        above = any(each == "/" or asked.startswith(each + "/") for each in folders)
        return inside or ([asked or "/"] if above else [])

    def _ignored(self, root: str) -> Callable[[str], bool]:
        ignore = Ignore(self._settings.ignore)
        bases = sorted(self._folders(root), key=len, reverse=True)

        def ignored(path: str) -> bool:
            base = next((each for each in bases if path.startswith(each.rstrip("/") + "/")), "")
            below = path[len(base.rstrip("/")) + 1 :]
            folder, _, name = below.rpartition("/")
            return ignore((folder + "/").encode() if folder else b"", name.encode())

        return ignored
