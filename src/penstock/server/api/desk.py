"""What the API answers from: the log, the state, the line to the engine."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
from pathlib import Path
from typing import Any

from penstock.core.policy import LOCAL_TENANT
from penstock.server.api.access import Keys
from penstock.server.api.history import History
from penstock.server.api.link import EngineLink
from penstock.server.api.tail import Tail
from penstock.server.settings import Places, Settings
from penstock.state.door import Door
from penstock.state.reader import StateReader

logger = logging.getLogger("penstock.api")


class Desk:
    """Everything that operations and the page need. One per process.

    Attributes:
        settings: The installation's.
        places: The same.
        keys: Of the loopback door.
        tenant: Whose things are seen.
        principal: On whose behalf things are done: the user's login name.
        history: Any record of the log.
        tail: New records of the log, for streams.
        state: Runs, definitions, dead letters and so on, as committed.
        link: Has the engine do things.
        streams: Tasks that answer without end; they are ended when the process ends.
    """

    def __init__(self, settings: Settings, places: Places, keys: Keys) -> None:
        self.settings = settings
        self.places = places
        self.keys = keys
        self.tenant = LOCAL_TENANT
        self.principal = login()
        log = places.state / "log" / "0"
        self.history = History(log)
        self.tail = Tail(log, self.history)
        self.state = StateReader(door_of(settings) or places.state / "state.db")
        self.link = EngineLink(
            places.runtime / "engine.sock",
            tenant=self.tenant,
            principal=self.principal,
            rose=self.tail.rose,
            committed=self.tail.committed,
            changed=self._engine_changed,
        )
        self.streams: set[asyncio.Task[Any]] = set()
        self._keeping: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Connect to the engine and stay connected. Call it in the running loop."""
        self._keeping = asyncio.get_running_loop().create_task(self.link.keep(), name="engine link")

    async def close(self) -> None:
        """End streams and let go of everything."""
        self.tail.close()
        for task in list(self.streams):
            task.cancel()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self.history.close()
        await self.state.close()

    def logs(self) -> Path:
        """Return the folder that every log of a function is in."""
        return self.places.state / "logs"

    def _engine_changed(self, here: bool) -> None:
        logger.info("the engine %s", "is here" if here else "went away")
        self.tail.wake()


def door_of(settings: Settings) -> Door | None:
    """Return the way to a site's database, if the settings have one."""
    if settings.postgres is None:
        return None
    from penstock.state.postgres.door import PostgresDoor  # needs an extra

    return PostgresDoor(settings.postgres)


def login() -> str:
    """Return the login name of the user we run as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
