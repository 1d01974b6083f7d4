"""Wishes on their way through the log."""

from __future__ import annotations

from uuid import uuid4

from msgspec import Struct

from penstock.core import lifecycle
from penstock.core.event import Event
from penstock.server.parts import Parts


class Recorder:
    """Puts wishes on the log.

    Args:
        parts: Of the engine.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def record(self, kind: str, data: Struct, subject: str, nonce: str = "") -> Event:
        """Put a wish on the log, durably; return when it is folded and others can read what it did."""
        event = lifecycle.request_event(kind, data, nonce or uuid4().hex, subject)
        records = await self._parts.log.append([event])
        await self._parts.pump.reached(records[-1].offset)
        await self._parts.checkpoint.durable()
        return event
