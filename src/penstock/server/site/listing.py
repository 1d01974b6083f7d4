"""Runs for files that are there already: the process with the API asks, those with sources list."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import PenstockError, Unavailable
from penstock.core.ports import Source
from penstock.log.kafka import KafkaLog
from penstock.server.site.past import Past, deployed
from penstock.state.postgres.calls import Calls
from penstock.state.postgres.state import PostgresState
from penstock.state.reader import StateReader

EXISTING = "existing"
TOLD_S = 5.0
"""A listing that goes on is told of after so many seconds."""
SILENCE_S = 30.0
"""After so long without a word nobody lists any more."""


class Wish(Struct):
    """Whom to run on what is there."""

    trigger: str
    principal: str


class Listed(Struct, omit_defaults=True):
    """How far a source's listing has come."""

    source: str
    count: int = 0
    done: bool = False
    error: str = ""


class Listing:
    """Answers for the sources of one process.

    Args:
        log: All partitions.
        reader: Of the state.
        state: Of the sources.
        sources: Are listed.
        troubles: Names sources that do not work.
    """

    def __init__(
        self,
        log: KafkaLog,
        reader: StateReader,
        state: PostgresState,
        sources: Sequence[Source],
        troubles: Mapping[str, str],
    ) -> None:
        self._log, self._reader, self._state = log, reader, state
        self._sources, self._troubles = sources, troubles

    async def answer(self, what: Raw) -> AsyncIterator[Listed]:
        """Have a trigger run on all that our sources list."""
        wish = msgspec.json.decode(what, type=Wish)
        registry = await deployed(self._reader)
        past = Past(self._log, self._reader, self._state, registry, registry.triggers[wish.trigger])
        for source in self._sources:
            try:
                async for listed in self._list(source, past, wish.principal):
                    yield listed
            except PenstockError as error:
                yield Listed(source.name, error=str(error)[:1000])

    async def _list(self, source: Source, past: Past, principal: str) -> AsyncIterator[Listed]:
        if source.name in self._troubles:
            raise Unavailable(f"{source.name!r} cannot be listed: {self._troubles[source.name]}")
        count, told = 0, time.monotonic()
        async for events in source.listing():
            wanted = await past.wanted(await past.with_causes(events))
            await past.request(wanted, principal)
            count += len(wanted)
            if time.monotonic() > told + TOLD_S:
                told = time.monotonic()
                yield Listed(source.name, count)
        yield Listed(source.name, count, done=True)


async def have_listed(calls: Calls, names: Sequence[str], trigger: str, principal: str) -> int:
    """Have everything listed that the settings name; return on how many files the trigger is run.

    Raises:
        Unavailable: Nobody lists one of them, or it cannot be listed; what was found before is run.
    """
    counts: dict[str, int] = {}
    async for said in calls.ask(EXISTING, Wish(trigger, principal), SILENCE_S):
        listed = msgspec.json.decode(said.what, type=Listed)
        if listed.error:
            raise Unavailable(listed.error)
        if listed.done:
            counts[listed.source] = max(listed.count, counts.get(listed.source, 0))
        if counts.keys() >= set(names):
            return sum(counts.values())
    missing = ", ".join(sorted(set(names) - counts.keys()))
    raise Unavailable(
        f"nobody has listed {missing}: is a process with the role 'sources' running? What was listed is run"
    )
