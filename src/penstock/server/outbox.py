"""Events that rooms emit, on their way to the log: in order, never dropped."""

from __future__ import annotations

import asyncio

from penstock.core.errors import Unavailable
from penstock.core.event import Event
from penstock.core.ports import Log


class Outbox:
    """Appends what was emitted in one turn of the loop together; while the log is full, tries again."""

    def __init__(self, log: Log) -> None:
        """Append to ``log``."""
        self._log = log
        self._waiting: list[Event] = []
        self._handle: asyncio.Handle | None = None

    def emit(self, event: Event) -> None:
        """Append ``event`` behind all emitted before it, before the loop waits for anything."""
        self._waiting.append(event)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._again)

    def flush(self) -> None:
        """Append what waits.

        Raises:
            Unavailable: The log cannot take it; it is kept, and tried again.
        """
        if self._waiting:
            self._log.write(self._waiting)
            self._waiting = []

    def _again(self) -> None:
        self._handle = None
        try:
            self.flush()
        except Unavailable as error:
            self._handle = asyncio.get_running_loop().call_later(error.retry_after_s, self._again)
