"""What commands stand on, be it one engine beside them or a whole site: looking things up, and the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

from msgspec import Raw, Struct
from msgspec.structs import replace

from penstock.core import lifecycle
from penstock.core.event import Event
from penstock.core.rows import DeadLetter, Decision, RunRow
from penstock.core.snapshot import restore
from penstock.server.engine import Engine
from penstock.server.ingest import Ingest
from penstock.server.settings import Settings
from penstock.workflows.registry import Registry


class Front(Protocol):
    """Answers as of now, and wishes on their way through the log.

    Attributes:
        settings: The installation's.
    """

    settings: Settings

    async def registry(self) -> Registry:
        """Return what is deployed."""

    async def record(
        self, kind: str, data: Struct, subject: str, *, nonce: str = "", key: str = "", run: str = ""
    ) -> Event:
        """Put a wish on the log, durably; return when it is folded and others can read what it did.

        Args:
            kind: Type of the event.
            data: Its data.
            subject: What it is about.
            nonce: Makes its id; default: drawn.
            key: Partition key of the events that it belongs to.
            run: Id of the run that it belongs to; with neither it concerns every partition.
        """

    async def run(self, run: str) -> RunRow | None:
        """Return a run's row as it stands now."""

    async def event_of(self, row: RunRow) -> tuple[Event, Raw | None]:
        """Return the event that a run started from, and what a person gave with it."""

    async def letter(self, letter: str) -> DeadLetter | None:
        """Return a dead letter."""

    async def decisions(self, event_id: str) -> list[Decision]:
        """Return what was decided for events of this id."""

    async def existing(self, trigger: str, principal: str) -> int:
        """Run a trigger for every file that is there now; return how many."""

    async def take(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Take events in from outside; see ``Ingest.take``."""

    async def append(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Take in a source's events; see ``Ingest.append``."""


class EmbeddedFront:
    """``Front`` beside an engine.

    Args:
        engine: Acted on.
    """

    def __init__(self, engine: Engine) -> None:
        self.settings = engine.parts.settings
        self._ingest = Ingest(engine.parts)
        self._engine = engine
        self._parts = engine.parts

    async def registry(self) -> Registry:
        """See ``Front``."""
        return self._parts.registry

    async def record(
        self,
        kind: str,
        data: Struct,
        subject: str,
        *,
        nonce: str = "",
        key: str = "",
        run: str = "",  # noqa: ARG002 - there is one partition
    ) -> Event:
        """See ``Front``."""
        event = lifecycle.request_event(kind, data, nonce or uuid4().hex, subject)
        event = replace(event, partitionkey=key) if key else event
        records = await self._parts.log.append([event])
        await self._parts.pump.reached(records[-1].offset)
        await self._parts.checkpoint.durable()
        return event

    async def run(self, run: str) -> RunRow | None:
        """See ``Front``."""
        if run in self._parts.keeper.active:
            self._parts.keeper.stage()
        return self._parts.state.get(RunRow, run)

    async def event_of(self, row: RunRow) -> tuple[Event, Raw | None]:
        """See ``Front``."""
        return self._parts.keeper.event_of(restore(row.snapshot))

    async def letter(self, letter: str) -> DeadLetter | None:
        """See ``Front``."""
        return self._parts.state.get(DeadLetter, letter)

    async def decisions(self, event_id: str) -> list[Decision]:
        """See ``Front``."""
        return self._parts.state.select(Decision, event_id=event_id)

    async def existing(self, trigger: str, principal: str) -> int:
        """See ``Front``."""
        count = await self._engine.existing.run(trigger, principal)
        await self._parts.checkpoint.durable()
        return count

    async def take(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """See ``Front``."""
        return await self._ingest.take(events)

    async def append(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """See ``Front``."""
        return await self._ingest.append(events)
