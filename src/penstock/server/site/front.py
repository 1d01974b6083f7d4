"""``Front`` for a site: looks things up in the database, and puts wishes on the topic.

A wish about one run goes to the partition that folds the run, one about definitions to every partition. It
is answered when the database tells, by NOTIFY, that the partition was folded so far.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

from msgspec import Raw, Struct
from msgspec.structs import replace

from penstock.core import lifecycle
from penstock.core.errors import Unavailable
from penstock.core.event import Event, decode
from penstock.core.lifecycle import RunRequest, data_of
from penstock.core.ports import Record
from penstock.core.rows import DeadLetter, Decision, RunRow
from penstock.core.snapshot import restore
from penstock.log.kafka import KafkaLog
from penstock.server.ingest import check_sizes, refuse_ours
from penstock.server.settings import Settings
from penstock.server.site.listing import have_listed
from penstock.server.site.past import deployed
from penstock.state.postgres.calls import Calls
from penstock.state.postgres.changes import changes
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.reader import StateReader
from penstock.workflows.registry import Registry

logger = logging.getLogger("penstock.site")
FOLDED_S = 30.0
"""Longest wait for a partition's owner to fold a wish, in seconds."""


class SiteFront:
    """``server.front.Front`` for a site.

    Args:
        settings: The installation's.
        log: All partitions.
        postgres: The database.
        reader: Of the same.
        committed: Called when something was committed anywhere.
        calls: To the site's other processes.
    """

    def __init__(
        self,
        settings: Settings,
        log: KafkaLog,
        postgres: PostgresSettings,
        reader: StateReader,
        committed: Callable[[], None],
        calls: Calls,
    ) -> None:
        self.settings = settings
        self._calls = calls
        self._log = log
        self._postgres = postgres
        self._reader = reader
        self._committed = committed
        self._folded: dict[int, int] = {}
        self._moved: asyncio.Future[None] | None = None

    async def follow(self) -> None:
        """Learn of commits, for ever; run it as a task."""
        while True:
            try:
                async for told in changes(self._postgres):
                    for change in told:
                        known = self._folded.get(change.partition, -1)
                        self._folded[change.partition] = max(known, change.offset)
                    self._committed()
                    moved, self._moved = self._moved, None
                    if moved is not None:
                        moved.set_result(None)
            except Unavailable as error:
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)

    async def registry(self) -> Registry:
        """See ``Front``; read anew each time, for another process may have deployed."""
        return await deployed(self._reader)

    async def record(
        self, kind: str, data: Struct, subject: str, *, nonce: str = "", key: str = "", run: str = ""
    ) -> Event:
        """See ``Front``."""
        event = lifecycle.request_event(kind, data, nonce or uuid4().hex, subject)
        if key:
            event = replace(event, partitionkey=key)
            partitions: Iterable[int] = (self._log.part_of(event),)
        elif run:
            partitions = (await self._reader.shard_of(run),)
        else:
            partitions = range(self._log.settings.partitions)
        records = await self._log.append_to([(partition, event) for partition in partitions])
        await self._until_folded(records)
        return event

    async def _until_folded(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                async with asyncio.timeout(FOLDED_S):
                    while self._folded.get(record.partition, 0) <= record.offset:
                        if self._moved is None:
                            self._moved = asyncio.get_running_loop().create_future()
                        await asyncio.shield(self._moved)
            except TimeoutError:
                raise Unavailable(
                    f"partition {record.partition} has no owner that works: what was asked for is on the log "
                    "and is done as soon as one is there; `penstock status` shows who owns what",
                    retry_after_s=FOLDED_S,
                ) from None

    async def run(self, run: str) -> RunRow | None:
        """See ``Front``."""
        return await self._reader.run(run)

    async def event_of(self, row: RunRow) -> tuple[Event, Raw | None]:
        """See ``Front``."""
        offset = restore(row.snapshot).offset
        shard = await self._reader.shard_of(row.id)
        event = (await asyncio.to_thread(self._log.record_in, shard, offset)).event
        if event.type != lifecycle.RUN_REQUESTED:
            return event, None
        request = data_of(event, RunRequest)
        return decode(request.event), request.params

    async def letter(self, letter: str) -> DeadLetter | None:
        """See ``Front``."""
        return await self._reader.dead_letter(letter)

    async def decisions(self, event_id: str) -> list[Decision]:
        """See ``Front``."""
        return await self._reader.decisions(event_id)

    async def existing(self, trigger: str, principal: str) -> int:
        """See ``Front``; those list who have the sources."""
        names = [each.name for each in self.settings.storages] + [each.name for each in self.settings.sources]
        return await have_listed(self._calls, names, trigger, principal)

    async def take(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """See ``Front``."""
        refuse_ours(events)
        return await self.append(events)

    async def append(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """See ``Front``. What was told before is dropped where it is folded; it is only said so here."""
        check_sizes(events)
        ids = [(event.source, event.id) for event in events]
        known = await self._reader.first_offsets(ids)
        await self._log.append(events)
        return [{"id": key[1], "new": key not in known} for key in ids]
