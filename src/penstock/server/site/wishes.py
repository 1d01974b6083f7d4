"""What concerns a whole site rather than its log: replay, logs of calls, backup."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from time import time_ns
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid, Refused
from penstock.functions.pool import Pool
from penstock.log.kafka import KafkaLog
from penstock.server.commands.definitions import find_trigger
from penstock.server.commands.wishes import BackupWish, LogWish, ReplayWish
from penstock.server.jobs import job_log
from penstock.server.parts import Parts
from penstock.server.site.past import Past, between, deployed
from penstock.state.postgres.calls import Calls
from penstock.state.postgres.state import PostgresState
from penstock.state.reader import StateReader

LOG = "log"
LOG_SILENCE_S = 2.0
"""How long it is waited for the process that has a call under way."""
SHOWN_MAX = 1000
"""Events of a replay that are named in the answer."""


class Found(Struct):
    """Where a call writes its log."""

    host: str
    log: str


class LogPlaces:
    """Answers for the calls that one process has under way.

    Args:
        owned: Returns the shards that are ours now.
    """

    def __init__(self, owned: Callable[[], list[Parts]]) -> None:
        self._owned = owned

    async def answer(self, what: Raw) -> AsyncIterator[Found]:
        """Say where a call of ours writes."""
        wish = msgspec.json.decode(what, type=LogWish)
        key = f"{wish.run}/{wish.step}/{wish.item}/{wish.attempt}"
        for parts in self._owned():
            flight = parts.dispatcher.in_flight.get(key)
            if flight is None:
                continue
            runtime = parts.runtime
            if flight.step.batch is not None:
                file = job_log(parts.places.state / "logs", key)
                place = f"{file}:0:" if file.exists() else ""
            else:
                place = (isinstance(runtime, Pool) and runtime.log_of(key)) or ""
            yield Found(socket.gethostname(), place)


class SiteWishes:
    """Answers what people ask of a whole site.

    Args:
        log: All partitions.
        reader: Of the state.
        state: For who published what.
        calls: To the other processes.
    """

    def __init__(self, log: KafkaLog, reader: StateReader, state: PostgresState, calls: Calls) -> None:
        self._log, self._reader, self._state, self._calls = log, reader, state, calls

    async def replay(self, wish: ReplayWish) -> Any:
        """Run a trigger for events of the log, between two times.

        Raises:
            Invalid: The place is an offset; each partition counts by itself.
        """
        if not wish.since_ns:
            raise Invalid("at a site each partition counts by itself: say since when, as a time")
        registry = await deployed(self._reader)
        trigger = find_trigger(registry, wish.tenant, wish.trigger)
        past = Past(self._log, self._reader, self._state, registry, trigger)
        generation = time_ns() // 1_000_000 if wish.again else 0
        shown: list[str] = []
        count = 0
        async for records in between(self._log, wish.since_ns, wish.until_ns or time_ns()):
            found = await past.wanted([record.event for record in records])
            shown += [event.subject or event.id for event in found[: SHOWN_MAX - len(shown)]]
            count += len(found)
            if not wish.dry_run:
                await past.request(found, wish.principal, generation)
        return {"trigger": trigger.name, "events": shown, "count": count}

    async def log(self, wish: LogWish) -> Any:
        """Return ``file:start:`` of a call; it can be read where it is on this host, or on a shared disk."""
        async for said in self._calls.ask(LOG, wish, LOG_SILENCE_S):
            found = msgspec.json.decode(said.what, type=Found)
            if not found.log or await asyncio.to_thread(os.path.exists, found.log.rsplit(":", 2)[0]):
                return {"log": found.log, "under_way": True}
            break
        return {"log": "", "under_way": False}

    async def backup(self, wish: BackupWish) -> Any:
        """Say who does it.

        Raises:
            Refused: Always.
        """
        raise Refused(
            f"nothing is copied to {wish.folder}: back up the database with pg_dump or pg_basebackup, and "
            "let the brokers keep the topic on several machines (replication). Restore a database only "
            "together with a topic that holds at least what it knows"
        )
