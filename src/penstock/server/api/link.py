"""The line to the engine: kept open, and opened again when the engine comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.core.errors import Unavailable
from penstock.server.channel import ChannelClient

AGAIN_S = 0.05
AGAIN_S_MAX = 2.0
"""Waits between tries to reach an engine that is away, in seconds."""


class EngineLink:
    """One connection to the engine.

    Args:
        socket: Where the engine listens.
        principal: On whose behalf commands are given.
        tenant: The same.
        rose: Called with the end of the durable log whenever the engine tells of it.
        committed: Called with the end of that part of the log whose effects can be read in the state.
        changed: Called when the engine comes (True) or goes (False).
    """

    def __init__(
        self,
        socket: Path,
        *,
        tenant: str,
        principal: str,
        rose: Callable[[int], None],
        committed: Callable[[int], None],
        changed: Callable[[bool], None],
    ) -> None:
        self._socket = socket
        self._who = {"tenant": tenant, "principal": principal}
        self._rose = rose
        self._committed = committed
        self._changed = changed
        self._client: ChannelClient | None = None
        self.up = asyncio.Event()

    async def keep(self) -> None:
        """Stay connected, for ever; run it as a task. While the engine is there it only waits."""
        delay = AGAIN_S
        while True:
            client = ChannelClient(self._socket, self._rose, self._committed)
            try:
                await client.open()
            except Unavailable:
                await asyncio.sleep(delay)
                delay = min(2 * delay, AGAIN_S_MAX)
                continue
            delay = AGAIN_S
            await self._use(client)

    async def _use(self, client: ChannelClient) -> None:
        self._client = client
        self.up.set()
        self._changed(True)
        try:
            await client.gone.wait()
        finally:
            self._client = None
            self.up.clear()
            self._changed(False)
            await client.close()

    async def ask(self, do: str, **with_: Any) -> Any:
        """Have the engine do something and return its answer.

        Raises:
            PenstockError: What the engine raised.
            Unavailable: It is away; it is tried again by itself.
        """
        if self._client is None:
            raise Unavailable("the engine is not there; it is started again, or `penstock serve` does it")
        return await self._client.ask(do, {**self._who, **with_})
