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

    async def put(self, frames: Sequence[Frame]) -> None:
        """Append frames as soon as there is room for them."""
        while len(self._items) >= self._limit:
            self._room.clear()
            await self._room.wait()
        self.push(*frames)

    def push(self, *items: Item) -> None:
        """Append at once."""
        self._items.extend(items)
        self._news.set()

    def end(self, error: PenstockError) -> None:
        """Say that nothing follows, and why."""
        self._ended = error
        self._news.set()

    async def take(self, most: int) -> list[Item]:
        """Return what is there, at most so much, as soon as there is something.

        Raises:
            PenstockError: All was taken, and nothing follows.
        """
        while not self._items:
            if self._ended is not None:
                raise self._ended
            self._news.clear()
            await self._news.wait()
        taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._room.set()
        return taken
