"""Runs for events of the past: what a paused trigger missed, what exists, what a person replays.

Each becomes ``run.requested`` on the log, with the event in it. A run's id is derived from trigger,
event and generation, so what has run already is not run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import Unavailable
from penstock.core.event import Event, encode
from penstock.core.filter import View, compile_filter, parse
from penstock.core.lifecycle import RunRequest
from penstock.core.ports import Record
from penstock.core.workflow import Trigger
from penstock.server.parts import Parts

BATCH = 500
"""Records looked at before others get their turn."""


class Backfill:
    """Requests runs for chosen events."""

    def __init__(self, parts: Parts, troubles: Mapping[str, str]) -> None:
        """Read from, and request through, ``parts``; ``troubles`` names sources that do not work."""
        self._parts = parts
        self._troubles = troubles

    async def between(self, trigger_id: str, since: int, until: int, principal: str) -> None:
        """Run what the trigger's filter matches among the log's records ``since`` to ``until``."""
        while since < until:
            trigger = self._parts.registry.triggers.get(trigger_id)
            if trigger is None:
                return
            records = self._parts.log.read(since, min(since + BATCH, until))
            for record in self.matching(trigger, records):
                self.request(trigger, record.event, principal)
            since = records[-1].offset + 1 if records else until
            await asyncio.sleep(0)

    def matching(self, trigger: Trigger, records: Sequence[Record]) -> list[Record]:
        """Return the records whose event the trigger's filter wants."""
        wanted = compile_filter(parse(trigger.filter))
        return [
            record
            for record in records
            if record.event.source != lifecycle.SOURCE and wanted(View(record.event))
        ]

    async def existing(self, trigger_id: str, principal: str) -> int:
        """Run a trigger for every file that is there now; return how many."""
        count = 0
        trigger = self._parts.registry.triggers[trigger_id]
        wanted = compile_filter(parse(trigger.filter))
        for source in self._parts.sources:
            if source.name in self._troubles:
                raise Unavailable(f"storage {source.name!r} cannot be listed: {self._troubles[source.name]}")
            async for events in source.listing():
                for event in events:
                    if wanted(View(event)):
                        self.request(trigger, event, principal)
                        count += 1
        return count

    def request(self, trigger: Trigger, event: Event, principal: str, generation: int = 0) -> None:
        """Request one run."""
        request = RunRequest(
            tenant=trigger.tenant,
            principal=principal,
            workflow=trigger.workflow,
            event=Raw(encode(event)),
            trigger=trigger.id,
            generation=generation,
        )
        nonce = lifecycle.run_id(trigger.tenant, trigger.id, event.id, generation)
        self._parts.outbox.emit(
            lifecycle.request_event(lifecycle.RUN_REQUESTED, request, nonce, event.subject or event.id)
        )
