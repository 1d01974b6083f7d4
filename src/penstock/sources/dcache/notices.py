"""What the notices of a channel mean: which files are looked at, which folders are watched from now on.

Files are worked on in runs, their looks at the namespace side by side; folders one by one, because what
follows may be about what is in them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from penstock.core.errors import Invalid, Unavailable
from penstock.core.event import Event, notice_id
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter, DeadLetterKind
from penstock.sources.dcache.compare import compare
from penstock.sources.dcache.frontend import Frontend
from penstock.sources.dcache.inbox import Inbox, Item, LookAgain, Overdue
from penstock.sources.dcache.looks import ARRIVED, CLOSED, DELETED, LEFT, READ, Looks, Seen
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.sse import INOTIFY, SYSTEM, Frame, Payload, notice_of, raw_of, system_of
from penstock.sources.dcache.told import Teller
from penstock.sources.dcache.walk import Walker
from penstock.sources.dcache.watches import Watches

IS_FOLDER = "IN_ISDIR"
OVERFLOW, IGNORED = "IN_Q_OVERFLOW", "IN_IGNORED"
SELF = frozenset({"IN_DELETE_SELF", "IN_MOVE_SELF", IGNORED})
OF_FILES = frozenset({CLOSED, ARRIVED, LEFT, DELETED, READ})
OF_FOLDERS = frozenset({"IN_CREATE", ARRIVED, LEFT})
LOSS, RIVAL, STOPS, ENDED = "EVENT_LOSS", "COMPETING_CLIENT", "SHUTDOWN", "SUBSCRIPTION_CLOSED"
RIVAL_RETRY_S = 30.0
STOPS_RETRY_S = 5.0
AWAY_RETRY_S = 60.0


@dataclass(kw_only=True)
class Notices:
    """Works on the notices of one channel, in their order.

    Attributes:
        channel: Its address.
        forsaken: Whether another client took it, so that it is not come back to.
    """

    settings: DCacheSseSettings
    context: SourceContext
    frontend: Frontend
    watches: Watches
    walker: Walker
    looks: Looks
    tell: Teller
    inbox: Inbox
    ignored: Callable[[str], bool]
    folders: Sequence[str]
    lost: Callable[[str, str], None]
    channel: str = ""
    forsaken: bool = False
    _last: int = -1
    _leaving: dict[str, Seen] = field(default_factory=dict)
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)

    async def work(self, items: Sequence[Item]) -> AsyncIterator[list[Event]]:
        """Yield what these items tell."""
        files: list[Seen] = []
        for item in items:
            seen = self._file(item)
            if seen is not None:
                files.append(seen)
                continue
            if files:
                yield await self.looks.files(files)
                files = []
            async for batch in self._other(item):
                yield batch
        if files:
            yield await self.looks.files(files)
        self._last = max([self._last, *(item.id for item in items if isinstance(item, Frame))])

    async def found(
        self, folders: Sequence[str], *, first: bool = False, only_new: bool = False
    ) -> AsyncIterator[list[Event]]:
        """Watch folders with all below them, and yield what is found there; see ``Looks``, ``Walker``."""
        async for files in self.walker.walk(folders, self.channel, only_new=only_new):
            if events := self.looks.found(files, first=first):
                yield events

    async def compare(self, folders: Sequence[str]) -> AsyncIterator[list[Event]]:
        """Watch and list folders, and yield what the ledger does not know: contents first, then ends."""
        async for batch in compare(self.walker, self.looks, folders, self.channel):
            yield batch

    def done(self, last: int) -> int:
        """Return the number of the last event that nobody needs again, given that of before."""
        held = [seen.frame.id - 1 for seen in self._leaving.values()]
        return min([max(last, self._last), *held])

    def look_later(self, paths: Sequence[str]) -> None:
        """Look at files again when they can no longer be being written to."""
        again = LookAgain(tuple(paths))
        self._after(self.settings.unfinished_s, again)

    def stop(self) -> None:
        """Forget what is waited for; it is told again."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # -- what a notice is about ----------------------------------------------------------------------

    def _file(self, item: Item) -> Seen | None:
        """Return the notice if it is about one file, and no more than that."""
        if not isinstance(item, Frame) or item.kind != INOTIFY:
            return None
        seen = self._seen(item)
        if seen is None or seen.is_folder or seen.flag not in OF_FILES:
            return None
        if seen.flag == LEFT and seen.cookie:
            return None
        before = self._leaving.get(seen.cookie) if seen.flag == ARRIVED else None
        if before is None:
            return seen
        del self._leaving[seen.cookie]
        return Seen(seen.flag, seen.path, seen.frame, seen.channel, before=before.path)

    def _seen(self, frame: Frame) -> Seen | None:
        try:
            notice = notice_of(frame)
        except Invalid:
            return None  # Told by ``_other``.
        folder = self.watches.folder(self.frontend.ours(notice.subscription))
        if folder is None or notice.event.name is None:
            return None
        path = f"{folder.rstrip('/')}/{notice.event.name}"
        flag, is_folder = _split(notice.event)
        if self.ignored(path):
            return None
        return Seen(flag, path, frame, self.channel, is_folder, notice.event.cookie or "")

    async def _other(self, item: Item) -> AsyncIterator[list[Event]]:
        if isinstance(item, LookAgain):
            yield await self.looks.again(item.paths)
        elif isinstance(item, Overdue):
            async for batch in self._left(self._leaving.pop(item.cookie, None)):
                yield batch
        elif item.kind == SYSTEM:
            async for batch in self._system(item):
                yield batch
        elif item.kind == INOTIFY:
            async for batch in self._inotify(item):
                yield batch

    async def _inotify(self, frame: Frame) -> AsyncIterator[list[Event]]:
        try:
            notice = notice_of(frame)
        except Invalid as error:
            self._unreadable(frame, error)
            return
        subscription = self.frontend.ours(notice.subscription)
        if OVERFLOW in notice.event.mask:
            folder = self.watches.folder(subscription)
            async for batch in self._rescan(folder or "/", "a queue in dCache was full"):
                yield batch
        elif not SELF.isdisjoint(notice.event.mask) and notice.event.name is None:
            self._ended(subscription, notice.event.mask)
        elif (seen := self._seen(frame)) is not None:
            async for batch in self._folder(seen):
                yield batch

    # -- folders, and halves of moves ----------------------------------------------------------------

    async def _folder(self, seen: Seen) -> AsyncIterator[list[Event]]:
        if seen.flag == LEFT:
            self._leaving[seen.cookie] = seen
            self._after(self.settings.pair_s, Overdue(seen.cookie))
        elif seen.is_folder and seen.flag in OF_FOLDERS:
            before = self._leaving.pop(seen.cookie, None) if seen.flag == ARRIVED else None
            if before is not None:
                yield [self.tell.folder_moved(before.path, seen.path, raw_of(seen.frame), seen.native)]
                self.watches.rename(before.path, seen.path)
                await self.looks.empty(before.path)
            async for batch in self.found([seen.path]):
                yield batch

    async def _left(self, seen: Seen | None) -> AsyncIterator[list[Event]]:
        """Tell of what was moved to where nobody watches."""
        if seen is None:
            return
        if not seen.is_folder:
            yield await self.looks.files([seen])
            return
        for _, subscription in self.watches.below(seen.path):
            self.watches.remove(subscription)
            await self.frontend.unsubscribe(subscription)
        async for batch in self.looks.gone_below(seen.path, seen):
            yield batch

    def _ended(self, subscription: str, mask: Sequence[str]) -> None:
        """Take note that a watch has ended, or follows its folder to another place."""
        folder = self.watches.folder(subscription)
        if folder in self.folders:
            raise Unavailable(
                f"the watched folder {folder!r} was moved or deleted; put it back, and the files that "
                "changed meanwhile will be found",
                AWAY_RETRY_S,
            )
        if "IN_MOVE_SELF" not in mask:
            self.watches.remove(subscription)

    # -- the channel itself --------------------------------------------------------------------------

    async def _system(self, frame: Frame) -> AsyncIterator[list[Event]]:
        try:
            said = system_of(frame)
        except Invalid as error:
            self._unreadable(frame, error)
            return
        if said.type == LOSS:
            async for batch in self._rescan("/", "the event channel has lost events"):
                yield batch
        elif said.type == RIVAL:
            self.forsaken = True
            raise Unavailable(
                f"another client took the event channel {self.channel} over; if two installations run "
                "from one copy, stop one. A new channel is made",
                RIVAL_RETRY_S,
            )
        elif said.type == STOPS:
            raise Unavailable("the frontend is shutting down", STOPS_RETRY_S)
        elif said.type == ENDED:
            self._ended(self.frontend.ours(said.subscription), ())

    async def _rescan(self, folder: str, reason: str) -> AsyncIterator[list[Event]]:
        """Compare a folder with the ledger, and say why."""
        self.lost(folder, reason)
        async for batch in self.compare(self.folders if folder == "/" else [folder]):
            yield batch

    # -- parts ---------------------------------------------------------------------------------------

    def _after(self, delay_s: float, item: Item) -> None:
        def put() -> None:
            self._timers.discard(timer)
            self.inbox.push(item)

        timer = asyncio.get_running_loop().call_later(delay_s, put)
        self._timers.add(timer)

    def _unreadable(self, frame: Frame, error: Invalid) -> None:
        self.context.dead_letter(
            DeadLetter(
                id=notice_id(
                    self.settings.storage, "notice", f"{self.channel} {frame.id}".encode(), frame.data
                ),
                tenant="",
                kind=DeadLetterKind.NOTICE,
                subject=f"{self.channel} {frame.id}",
                reason=f"source {self.context.name!r}: {error}",
                body=frame.data,
                at_ns=time.time_ns(),
            )
        )


def _split(payload: Payload) -> tuple[str, bool]:
    """Return the event flag, and whether it is about a folder."""
    flags = [flag for flag in payload.mask if flag != IS_FOLDER]
    return (flags[0] if flags else ""), IS_FOLDER in payload.mask
