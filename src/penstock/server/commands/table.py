"""The commands by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Raw

from penstock.core.errors import NotFound
from penstock.core.event import decode
from penstock.core.ports import Receiver, Source
from penstock.server.commands import wishes
from penstock.server.commands.definitions import Definitions
from penstock.server.commands.installation import Whole
from penstock.server.commands.letters import DeadLetters
from penstock.server.commands.runs import Runs
from penstock.server.engine import Engine
from penstock.server.front import EmbeddedFront, Front

Handler = Callable[[Any], Awaitable[Any]]
AT_ANY_TIME = frozenset({"ingest", "receive", "log", "status", "stop"})
"""Answered while the engine still starts. A deployment must not be acknowledged before files are watched."""


class Commands:
    """The answers, by name.

    Args:
        front: Looks things up, and puts wishes on the log.
        started: Set when everything works.
        receivers: Sources that are called, by name.
        more: Further answers: what concerns the process rather than the log.
    """

    def __init__(
        self,
        front: Front,
        started: asyncio.Event,
        receivers: Mapping[str, Receiver],
        more: Mapping[str, tuple[type[wishes.Who], Handler]],
    ) -> None:
        self._front = front
        self._started = started
        self._receivers = receivers
        definitions, runs = Definitions(front), Runs(front)
        letters = DeadLetters(front, runs)
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
            **more,
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
        return await self._front.take([decode(raw) for raw in wish.events])

    async def _receive(self, wish: wishes.ReceiveWish) -> Any:
        source = self._receivers.get(wish.source)
        if source is None:
            raise NotFound(f"there is no source {wish.source!r} that takes requests; see [[sources]]")
        answers = await self._front.append(source.receive(wish.headers, wish.body))
        await source.settled()
        return answers


def embedded_commands(engine: Engine) -> Commands:
    """Return the answers of an engine."""
    whole = Whole(engine)
    more: dict[str, tuple[type[wishes.Who], Handler]] = {
        "replay": (wishes.ReplayWish, whole.replay),
        "backup": (wishes.BackupWish, whole.backup),
        "reconcile": (wishes.ReconcileWish, whole.reconcile),
        "log": (wishes.LogWish, whole.log),
        "status": (wishes.Who, whole.status),
        "stop": (wishes.Who, whole.stop),
    }
    return Commands(EmbeddedFront(engine), engine.life.started, receivers(engine.sources), more)


def receivers(sources: Iterable[Source]) -> dict[str, Receiver]:
    """Return those sources that are called, by name."""
    return {source.name: cast(Receiver, source) for source in sources if hasattr(source, "receive")}
