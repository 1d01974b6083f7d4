"""Runs for events of the past: what a paused trigger missed, what a person replays.

Each becomes ``run.requested`` on the log, with the event in it. A run's id is derived from trigger,
event and generation, so what has run already is not run again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import Trimmed
from penstock.core.event import Event, encode
from penstock.core.filter import View, compile_filter, parse
from penstock.core.lifecycle import RunRequest
from penstock.core.ports import Record, State
from penstock.core.rows import CursorRow, Outcome
from penstock.core.workflow import Trigger
from penstock.server.parts import Parts

logger = logging.getLogger("penstock.backfill")
BATCH = 500
"""Records looked at before others get their turn."""
CATCH_UP = "catch-up/"
"""Begins the reader's name of a trigger that catches up: partition 0 is its position, 1 where it ends."""


def behind(state: State) -> dict[str, int]:
    """Return the triggers that have to catch up, by id, with their positions in the log."""
    readers = [row.reader for row in state.select(CursorRow, partition=1) if row.reader.startswith(CATCH_UP)]
    found = {reader.removeprefix(CATCH_UP): _left(state, reader) for reader in readers}
    return {trigger_id: left[0] for trigger_id, left in found.items() if left is not None}


def _left(state: State, reader: str) -> tuple[int, int] | None:
    position, end = state.get(CursorRow, reader, 0), state.get(CursorRow, reader, 1)
    if position is None or end is None or position.offset >= end.offset:
        return None
    return position.offset, end.offset


class Backfill:
    """Requests runs for chosen events."""

    def __init__(self, parts: Parts) -> None:
        """Read from, and request through, ``parts``."""
        self._parts = parts
        self._catching_up: set[str] = set()

    def missed(self, trigger_id: str, since: int, until: int) -> None:
        """Note that a trigger has to catch up with the log's records ``since`` to ``until``.

        It is committed together with the record that resumed the trigger, so that no crash forgets it.
        """
        left = self._left(trigger_id)
        self._parts.state.put(CursorRow(CATCH_UP + trigger_id, 1, until))
        self._moved(trigger_id, min(since, left[0]) if left is not None else since)

    async def catch_up(self, trigger_id: str) -> None:
        """Run what a trigger's filter matches among the records that it missed."""
        if trigger_id in self._catching_up:
            return
        self._catching_up.add(trigger_id)
        try:
            while (left := self._left(trigger_id)) is not None:
                self._moved(trigger_id, self._caught_up(trigger_id, *left))
                self._parts.checkpoint.touch()
                await asyncio.sleep(0)
        finally:
            self._catching_up.discard(trigger_id)

    def _caught_up(self, trigger_id: str, since: int, until: int) -> int:
        """Request the runs of one batch and return the position behind it."""
        trigger = self._parts.registry.triggers.get(trigger_id)
        if trigger is None:
            return until
        try:
            records = self._parts.log.read(since, min(since + BATCH, until))
        except Trimmed as error:
            logger.warning("trigger %s cannot catch up with all that it missed: %s", trigger.name, error)
            return int(error.first)
        for record in self.matching(trigger, records):
            self.request(trigger, record.event, trigger.principal)
        return records[-1].offset + 1 if records else until

    def _left(self, trigger_id: str) -> tuple[int, int] | None:
        return _left(self._parts.state, CATCH_UP + trigger_id)

    def _moved(self, trigger_id: str, position: int) -> None:
        self._parts.state.put(CursorRow(CATCH_UP + trigger_id, 0, position))

    def matching(self, trigger: Trigger, records: Sequence[Record]) -> list[Record]:
        """Return the records whose event the trigger wants; not those of its own outputs, or of a ring."""
        wanted = compile_filter(parse(trigger.filter))
        return [
            record
            for record in records
            if record.event.source != lifecycle.SOURCE
            and wanted(View(record.event))
            and self.offered(trigger, record.event)
        ]

    def offered(self, trigger: Trigger, event: Event) -> bool:
        """Whether the trigger would start on an event that it matches."""
        return self._parts.triggers.offered(trigger, event).outcome is Outcome.MATCHED

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
        nonce = lifecycle.run_id(trigger.tenant, trigger.id, event, generation)
        self._parts.outbox.emit(
            lifecycle.request_event(lifecycle.RUN_REQUESTED, request, nonce, event.subject or event.id)
        )
