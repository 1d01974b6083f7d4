"""One life of the event source: a channel is opened or come back to, and worked on until it breaks.

In a channel that is new, the stream is connected first, then each folder is watched, then listed. In one that
was come back to, the frontend replays what was missed; where it cannot, it says so, and everything is listed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from penstock.core.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.core.event import Event
from penstock.core.ports import Loss, SourceContext
from penstock.core.rows import PositionRow
from penstock.sources.dcache.frontend import Frontend
from penstock.sources.dcache.inbox import Inbox
from penstock.sources.dcache.knowledge import Knowledge
from penstock.sources.dcache.looks import Looks
from penstock.sources.dcache.notices import Notices
from penstock.sources.dcache.rest import Stream
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.told import Teller
from penstock.sources.dcache.walk import Walker
from penstock.sources.dcache.watches import Watches

CHANNEL = "channel"
"""Part of the position: the channel's address and the last event worked on."""
LISTED = "listed"
"""Part of the position that says that the folders were listed once."""


class Memory:
    """What outlives one life: the watches of the channel that was left, and what was told last."""

    def __init__(self, known: Knowledge) -> None:
        self.channel = ""
        self.watches = Watches()
        self.known = known


class Life:
    """See the top of this file.

    Args:
        settings: What is watched, and how.
        context: Ledger, dead letters, losses.
        frontend: Asked; entered.
        memory: Of the lives before.
        ignored: Whether an entry, by its path in the namespace, is nobody's business.
        ready: Set when nothing is missed any more.
    """

    def __init__(
        self,
        settings: DCacheSseSettings,
        context: SourceContext,
        frontend: Frontend,
        memory: Memory,
        root: str,
        ignored: Callable[[str], bool],
        ready: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._context = context
        self._frontend = frontend
        self._memory = memory
        self._root = root
        self._ready = ready
        self._folders = [root + folder.rstrip("/") or "/" for folder in settings.folders]
        self._inbox = Inbox(settings.waiting)
        teller = Teller(settings.storage)
        self._walker = Walker(settings, frontend, memory.watches, root, ignored, context)
        self._notices = Notices(
            settings=settings,
            context=context,
            frontend=frontend,
            watches=memory.watches,
            walker=self._walker,
            looks=Looks(
                settings, frontend, self._walker.shown, memory.known, teller, lambda paths: self._later(paths)
            ),
            tell=teller,
            inbox=self._inbox,
            ignored=ignored,
            folders=self._folders,
            lost=self._lost,
        )
        self._last = -1
        self._unkept = ""
        self._stream: Stream | None = None
        self._reading: asyncio.Task[None] | None = None

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield batches of events, until it is closed."""
        try:
            async for batch in self._begin():
                yield batch
            self._keep()
            self._ready.set()
            while items := await self._inbox.take(self._settings.batch):
                async for batch in self._notices.work(items):
                    yield batch
                self._keep()
        finally:
            await self._leave()

    def close(self) -> None:
        """End ``events`` as soon as what it works on is done."""
        self._inbox.close()

    # -- channel -------------------------------------------------------------------------------------

    async def _begin(self) -> AsyncIterator[list[Event]]:
        positions = self._context.ledger.positions(self._context.name)
        channel, _, last = positions.get(CHANNEL, "").rpartition(" ")
        if channel and await self._come_back(channel, int(last)):
            self._ready.set()  # The channel goes on watching; which folders are where is to be found out.
            missing = [folder for folder in self._folders if folder not in self._memory.watches]
            found = self._notices.found(missing, only_new=True)
        else:
            await self._open()
            if LISTED in positions:
                self._lost("/", "the event channel had ended: what happened meanwhile was not told")
                found = self._notices.compare(self._folders)
            else:
                found = self._notices.found(self._folders, first=True)
        async for batch in found:
            yield batch
        self._check_folders()
        self._context.ledger.put(PositionRow(self._context.name, LISTED, "1"))

    async def _come_back(self, channel: str, last: int) -> bool:
        """Listen to a channel that we had; return whether all that was missed will be told."""
        if last < 0:
            await self._frontend.end_channel(channel)
            return False
        try:
            stream = await self._frontend.listen(channel, last)
        except NotFound:
            return False
        if self._memory.channel != channel:  # Another process watched: ask again for each folder.
            self._memory.watches.clear()
            self._memory.channel = channel
        self._listen(channel, stream, last)
        return True

    async def _open(self) -> None:
        channel = await self._frontend.make_channel(
            f"penstock-{self._context.name}", self._settings.channel_s
        )
        self._memory.channel = self._unkept = channel
        self._memory.watches.clear()
        self._listen(channel, await self._frontend.listen(channel, -1), -1)
        if await self._frontend.anchor(channel):
            self._last = await self._inbox.first(self._settings.answer_s)

    def _listen(self, channel: str, stream: Stream, last: int) -> None:
        self._stream = stream
        self._last = last
        self._notices.channel = channel
        self._reading = asyncio.get_running_loop().create_task(self._read(stream))

    async def _read(self, stream: Stream) -> None:
        try:
            async for frames in stream.frames():
                await self._inbox.put(frames)
        except Invalid as error:
            self._inbox.end(Unavailable(f"the event stream cannot be read: {error}"))
        except PenstockError as error:
            self._inbox.end(error)

    async def _leave(self) -> None:
        self._notices.stop()
        if self._stream is not None:
            self._stream.close()
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._notices.forsaken:
            self._context.ledger.put(PositionRow(self._context.name, CHANNEL, ""))
        elif self._unkept:
            with contextlib.suppress(PenstockError):
                await self._frontend.end_channel(self._unkept)

    # -- bookkeeping ---------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Stage how far we are; everything before is durable."""
        self._last = self._notices.done(self._last)
        self._unkept = ""
        position = f"{self._memory.channel} {self._last}"
        self._context.ledger.put(PositionRow(self._context.name, CHANNEL, position))

    def _check_folders(self) -> None:
        missing = [folder for folder in self._folders if folder not in self._memory.watches]
        if missing:
            raise Unavailable(
                f"source {self._context.name!r}: {', '.join(missing)} cannot be watched: no such folder, or "
                "this login may not list it; make it, or change 'folders'",
                60.0,
            )

    def _later(self, paths: Sequence[str]) -> None:
        self._notices.look_later(paths)

    def _lost(self, folder: str, reason: str) -> None:
        where = self._folders if folder == "/" else [folder]
        for each in where:
            self._context.lost(
                Loss(
                    storage=self._settings.storage, folder=each.encode(), reason=reason, at_ns=time.time_ns()
                )
            )
