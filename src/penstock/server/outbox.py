"""Events that rooms emit, on their way to the log: in order, never dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from penstock.core.errors import Invalid, Unavailable
from penstock.core.event import Event
from penstock.core.ports import Log, Record

logger = logging.getLogger("penstock.outbox")


class Outbox:
    """Appends what was emitted in one turn of the loop together; while the log is full, tries again."""

    def __init__(
        self,
        log: Log,
        refused: Callable[[Event, Invalid], None] | None = None,
        appended: Callable[[Sequence[Record]], None] = lambda _records: None,
    ) -> None:
        """Append to ``log``; what it can never take (too large) is given to ``refused``, and does not
        keep up the rest; ``appended`` gets what a turn of the loop appended."""
        self._log = log
        self._appended = appended
        self._refused = refused or _told
        self._waiting: list[Event] = []
        self._handle: asyncio.Handle | None = None

    def emit(self, event: Event) -> None:
        """Append ``event`` behind all emitted before it, before the loop waits for anything."""
        self._waiting.append(event)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._again)

    def flush(self) -> Sequence[Record]:
        """Append what waits and return its records.

        Raises:
            Unavailable: The log cannot take it; it is kept, and tried again.
        """
        if not self._waiting:
            return ()
        try:
            records = self._log.write(self._waiting)
            self._waiting = []
        except Invalid:
            self._flush_singly()
            return ()
        return records

    def _flush_singly(self) -> None:
        while self._waiting:
            try:
                self._log.write(self._waiting[:1])
            except Invalid as error:
                self._refused(self._waiting[0], error)
            del self._waiting[0]

    def _again(self) -> None:
        self._handle = None
        try:
            records = self.flush()
        except Unavailable as error:
            self._handle = asyncio.get_running_loop().call_later(error.retry_after_s, self._again)
            return
        self._appended(records)


def _told(_event: Event, error: Invalid) -> None:
    logger.error("%s", error)
