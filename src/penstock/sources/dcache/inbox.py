"""Notices on their way from the stream to the worker: bounded, in order, without loss."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from penstock.core.errors import PenstockError
from penstock.sources.dcache.sse import Frame


class Overdue(Struct, frozen=True):
    """The second half of this move has not come in time."""

    cookie: str


class LookAgain(Struct, frozen=True):
    """These files were perhaps being written to; their time is over."""

    paths: tuple[str, ...]


Item = Frame | Overdue | LookAgain


class Inbox:
    """A queue of at most ``limit`` frames; what timers put in is never refused."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Item] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._ended: PenstockError | None = None
        self._closed = False
        self._begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def put(self, frames: Sequence[Frame]) -> None:
        """Append frames as soon as there is room for them."""
        while len(self._items) >= self._limit:
            self._room.clear()
            await self._room.wait()
        self.push(*frames)

    def push(self, *items: Item) -> None:
        """Append at once."""
        self._items.extend(items)
        if not self._begun.done():
            number = next((item.id for item in items if isinstance(item, Frame) and item.id >= 0), None)
            if number is not None:
                self._begun.set_result(number)
        self._news.set()

    async def first(self, timeout: float) -> int:
        """Return the number of the first frame that has one; -1 if none has come in so many seconds."""
        await asyncio.wait({self._begun}, timeout=timeout)
        return self._begun.result() if self._begun.done() else -1

    def end(self, error: PenstockError) -> None:
        """Say that nothing follows, and why."""
        self._ended = error
        self._news.set()

    def close(self) -> None:
        """Say that nobody wants any more."""
        self._closed = True
        self._news.set()

    async def take(self, most: int) -> list[Item]:
        """Return what is there, at most so much, as soon as there is something; nothing once it is closed.

        Raises:
            PenstockError: All was taken, and nothing follows.
        """
        while not self._items or self._closed:
            if self._closed:
                return []
            if self._ended is not None:
                raise self._ended
            self._news.clear()
            await self._news.wait()
        taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._room.set()
        return taken
