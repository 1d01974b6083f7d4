"""Events that rooms emit, on their way to the log: in order, never dropped."""

from __future__ import annotations

import asyncio
from collections import deque

from penstock.core.errors import Unavailable
from penstock.core.event import Event
from penstock.core.ports import Log


class Outbox:
    """Appends at once; while the log cannot take anything, keeps the events and tries again."""

    def __init__(self, log: Log) -> None:
        """Append to ``log``."""
        self._log = log
        self._waiting: deque[Event] = deque()

    def emit(self, event: Event) -> None:
        """Append ``event`` behind all emitted before it."""
        if self._waiting:
            self._waiting.append(event)
            return
        try:
            self._log.write([event])
        except Unavailable as error:
            self._waiting.append(event)
            asyncio.get_running_loop().call_later(error.retry_after_s, self._again)

    def _again(self) -> None:
        try:
            while self._waiting:
                self._log.write([self._waiting[0]])
                self._waiting.popleft()
        except Unavailable as error:
            asyncio.get_running_loop().call_later(error.retry_after_s, self._again)
