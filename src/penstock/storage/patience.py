"""Waiting for a storage that is full, away, or not what it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from penstock.core.errors import Unavailable
from penstock.storage.place import Place

AGAIN_S, AGAIN_S_MAX = 1.0, 30.0
"""First and longest wait before a publication is tried again, in seconds."""
logger = logging.getLogger("penstock.publish")
T = TypeVar("T")


class Patience:
    """Does work again until the storage lets it.

    Args:
        again_s: First wait, in seconds; it doubles up to ``AGAIN_S_MAX``.

    Attributes:
        troubles: Place to words, for each that work waits for.
    """

    def __init__(self, again_s: float = AGAIN_S) -> None:
        self.troubles: dict[str, str] = {}
        self._again_s = again_s
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def do(self, place: Place, work: Callable[[], T], check: Callable[[], None] = lambda: None) -> T:
        """Do blocking ``work`` in a thread; while it is ``Unavailable``, wait, ``check`` and do it again."""
        name, wait_s = f"outputs in {place.path.decode('utf-8', 'replace')}", self._again_s
        loop = asyncio.get_running_loop()
        while True:
            try:
                result = await loop.run_in_executor(None, work)
            except Unavailable as error:
                if name not in self.troubles:
                    logger.warning("%s", error)
                self.troubles[name] = str(error)
            else:
                self.troubles.pop(name, None)
                return result
            await self._wait(place.name, wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)
            check()

    async def _wait(self, storage: str, wait_s: float) -> None:
        back = asyncio.Event()
        waiting = self._waiting.setdefault(storage, set())
        waiting.add(back)
        try:
            await asyncio.wait_for(back.wait(), wait_s)
        except TimeoutError:
            pass
        finally:
            waiting.discard(back)

    def again(self, storage: str) -> None:
        """Let what waits for this storage try now."""
        for back in self._waiting.get(storage, ()):
            back.set()
