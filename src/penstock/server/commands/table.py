"""The commands by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
from msgspec import Raw

from penstock.core.errors import NotFound
from penstock.core.event import decode
from penstock.core.ports import Receiver
from penstock.server.commands import wishes
from penstock.server.commands.definitions import Definitions
from penstock.server.commands.installation import Whole
from penstock.server.commands.letters import DeadLetters
from penstock.server.commands.recorder import Recorder
from penstock.server.commands.runs import Runs
from penstock.server.engine import Engine
from penstock.server.ingest import Ingest

Handler = Callable[[Any], Awaitable[Any]]
AT_ANY_TIME = frozenset({"ingest", "receive", "log", "status", "stop"})
"""Answered while the engine still starts. A deployment must not be acknowledged before files are watched."""


class Commands:
    """The engine's answers, by name.

    Args:
        engine: Acted on.
    """

    def __init__(self, engine: Engine) -> None:
        recorder = Recorder(engine.parts)
        self._ingest = Ingest(engine.parts)
        definitions = Definitions(engine.parts, recorder, engine.existing)
        runs = Runs(engine.parts, recorder)
        letters = DeadLetters(engine.parts, runs, self._ingest)
        whole = Whole(engine, definitions)
        self._started = engine.life.started
        self._sources = {source.name: source for source in engine.sources}
        self._handlers: dict[str, tuple[type[wishes.Who], Handler]] = {
            "ingest": (wishes.IngestWish, self._take_in),
            "receive": (wishes.ReceiveWish, self._receive),
            "deploy": (wishes.DeployWish, definitions.deploy),
            "trigger": (wishes.TriggerWish, definitions.change_trigger),
            "remove-trigger": (wishes.TriggerWish, definitions.remove_trigger),
            "start": (wishes.StartWish, runs.start),
            "cancel": (wishes.RunWish, runs.cancel),
            "rerun": (wishes.RunWish, runs.rerun),
            "replay-letter": (wishes.LetterWish, letters.replay),
            "drop-letter": (wishes.LetterWish, letters.drop),
            "replay": (wishes.ReplayWish, whole.replay),
            "backup": (wishes.BackupWish, whole.backup),
            "log": (wishes.LogWish, whole.log),
            "status": (wishes.Who, whole.status),
            "stop": (wishes.Who, whole.stop),
        }

    async def handle(self, do: str, with_: Raw) -> Any:
        """Do what is asked and return the result.

        Raises:
            PenstockError: Why not.
        """
        if do not in self._handlers:
            raise NotFound(f"the engine knows no command {do!r}; is it of another version?")
        kind, handler = self._handlers[do]
        if do not in AT_ANY_TIME:
            await self._started.wait()
        return await handler(msgspec.json.decode(with_, type=kind))

    async def _take_in(self, wish: wishes.IngestWish) -> Any:
        return await self._ingest.take([decode(raw) for raw in wish.events])

    async def _receive(self, wish: wishes.ReceiveWish) -> Any:
        source = self._sources.get(wish.source)
        if source is None or not hasattr(source, "receive"):
            raise NotFound(f"there is no source {wish.source!r} that takes requests; see [[sources]]")
        return await self._ingest.append(cast(Receiver, source).receive(wish.headers, wish.body))
