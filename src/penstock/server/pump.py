"""The pump: folds every record of the log, in order, into definitions, files, runs and decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from penstock.core import identity, lifecycle
from penstock.core.errors import Invalid
from penstock.core.event import Event, digest, encode, path_of
from penstock.core.ledger import file_state
from penstock.core.lifecycle import DeadLetterClose, TriggerChange, data_of
from penstock.core.policy import LOCAL_TENANT
from penstock.core.ports import Cursor, Log, Record, State
from penstock.core.rows import (
    CursorRow,
    DeadLetter,
    DeadLetterKind,
    Decision,
    FileState,
    Outcome,
    OutputRow,
    Row,
    RunRow,
    Seen,
)
from penstock.core.workflow import Trigger
from penstock.routing.triggers import Match, Triggers
from penstock.server.checkpoint import Checkpoint
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.workflows.keeper import Keeper
from penstock.workflows.registry import Registry

READER = "pump"
STORAGES = "/storages/"
UNREADABLE = "penstock.log.unreadable"
"""Type of what stands for a record that the log cannot read."""
WISHES = frozenset({lifecycle.RUN_REQUESTED, lifecycle.RUN_CANCEL_REQUESTED})
"""No trigger sees these: a wish carries the subject of the event that it is about."""


class _Unreadable(Struct):
    reason: str = "the record cannot be read"


class Pump:
    """Follows the log. One record is folded without a break, so that a commit never sees half of one.

    Args:
        log: Followed.
        state: Receives decisions, seen ids and the cursor.
        ledger: Receives file states.
        registry: Receives definitions.
        triggers: Says what an event starts.
        letters: Receives dead letters.
        keeper: Receives what is about runs, and starts them.
        checkpoint: Touched after each batch.
        numbered: Sources whose contents the ledger numbers: no id of theirs comes twice.
        resumed: Called with a trigger's change when it was resumed and the range of offsets it missed.
    """

    def __init__(
        self,
        *,
        log: Log,
        state: State,
        ledger: PendingLedger,
        registry: Registry,
        triggers: Triggers,
        letters: Letters,
        keeper: Keeper,
        checkpoint: Checkpoint,
        numbered: frozenset[str],
        resumed: Callable[[TriggerChange, int, int], None],
    ) -> None:
        self._log = log
        self._state = state
        self._ledger = ledger
        self._registry = registry
        self._triggers = triggers
        self._letters = letters
        self._keeper = keeper
        self._checkpoint = checkpoint
        self._numbered = numbered
        self._resumed = resumed
        self.folded = 0
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    def fold_batch(self, records: Sequence[Record]) -> None:
        """Fold records and move the cursor behind them."""
        for record in records:
            self.fold(record)
        self.folded = records[-1].offset + 1
        self._state.put(CursorRow(READER, 0, self.folded))
        self._checkpoint.touch(len(records))
        if self._awaited:
            self._tell_awaited()

    async def reached(self, offset: int) -> None:
        """Return once the record at ``offset`` is folded."""
        if self.folded <= offset:
            future = asyncio.get_running_loop().create_future()
            self._awaited.append((offset, future))
            await future

    def _tell_awaited(self) -> None:
        for offset, future in self._awaited:
            if offset < self.folded and not future.done():
                future.set_result(None)
        self._awaited = [entry for entry in self._awaited if not entry[1].done()]

    def take(self, records: Sequence[Record]) -> None:
        """Fold records that have just been appended, if nothing before them waits.

        It saves two turns of the loop. What is not taken here comes by ``follow``.
        """
        if records and records[0].offset == self.folded and _is_whole(records):
            self.fold_batch(records)

    async def follow(self) -> None:
        """Fold what is appended and was not taken, for ever."""
        async for records in self._log.follow(Cursor((self.folded,))):
            if records[0].offset < self.folded:
                records = [record for record in records if record.offset >= self.folded]
            if records:
                await self._state.prefetch(self._asked_of(records))
                self.fold_batch(records)

    def _asked_of(self, records: Sequence[Record]) -> dict[type[Row], list[tuple[Any, ...]]]:
        """Return the keys of the rows that folding these records will ask for."""
        seen: list[tuple[Any, ...]] = []
        files: list[tuple[Any, ...]] = []
        runs: list[tuple[Any, ...]] = []
        outputs: list[tuple[Any, ...]] = []
        for record in records:
            event = record.event
            if event.source == lifecycle.SOURCE or event.source in self._numbered:
                continue
            seen.append((event.source, event.id))
            if event.source.startswith(STORAGES) and event.subject:
                path = path_of(event.subject)
                files.append((event.source[len(STORAGES) :], path))
                if event.cause is not None:
                    runs.append((event.cause,))
                    outputs.append((path,))
        return {Seen: seen, FileState: files, RunRow: runs, OutputRow: outputs}

    def unseen(self, events: Sequence[Event]) -> list[Event]:
        """Return those of ``events`` that were not folded before. A first sieve: ``fold`` decides."""
        seen = self._state.get
        return [
            event
            for event in events
            if event.source in self._numbered or seen(Seen, event.source, event.id) is None
        ]

    def fold(self, record: Record) -> None:
        """Fold one record; one that was told before changes nothing."""
        event = record.event
        if event.source == lifecycle.SOURCE:
            self._fold_own(record)
        elif event.type == UNREADABLE:
            self._letters.put(
                _dead_letter(record, DeadLetterKind.EVENT, data_of(event, _Unreadable).reason, LOCAL_TENANT)
            )
            return
        elif event.source not in self._numbered:
            if self._state.get(Seen, event.source, event.id) is not None:
                return
            self._state.put(Seen(event.source, event.id, record.offset))
            if event.source.startswith(STORAGES) and self._is_known(record):
                return
        if event.type not in WISHES:  # before the ledger: the function shall start
            for match in self._triggers.decide(record):
                self._decided(match, record)
        if event.source.startswith(STORAGES):
            row = file_state(event, record.offset)
            if row is not None:
                self._ledger.folded(row)

    def _is_known(self, record: Record) -> bool:
        """Whether another notice told of the same write before; see ``core.identity``."""
        event = record.event
        path = path_of(event.subject or "")
        found = identity.fold(self._ledger.file(event.source[len(STORAGES) :], path), event, record.offset)
        if found.row is not None:
            self._ledger.folded(found.row)
        return found.known

    def _fold_own(self, record: Record) -> None:
        try:
            self._keeper.fold(record)
            before = self._before(record.event)
            change = self._registry.fold(record)
            if record.event.type == lifecycle.DEAD_LETTER_CLOSED:
                close = data_of(record.event, DeadLetterClose)
                self._letters.close(close.id, close.state)
            if change is not None and change.paused is False and before is not None:
                self._resume(change, before.paused, before.since, record.offset)
        except Invalid as error:
            self._letters.put(_dead_letter(record, DeadLetterKind.EVENT, str(error), LOCAL_TENANT))

    def _before(self, event: Event) -> Trigger | None:
        """Return a trigger as it stands before the change that the event tells of."""
        if event.type != lifecycle.TRIGGER_CHANGED:
            return None
        return self._registry.triggers.get(data_of(event, TriggerChange).id)

    def _resume(self, change: TriggerChange, was_paused: bool, since: int, offset: int) -> None:
        if was_paused and change.catch_up:
            self._resumed(change, since, offset)

    def _decided(self, match: Match, record: Record) -> None:
        trigger, event = match.trigger, record.event
        run = ""
        if match.outcome is Outcome.MATCHED:
            run = self._keeper.start(trigger, record, at_ns=record.appended_ns)
        elif match.outcome is Outcome.LOOP:
            self._letters.put(_dead_letter(record, DeadLetterKind.LOOP, match.reason, trigger.tenant))
        self._state.put(
            Decision(
                event_id=event.id,
                source=event.source,
                trigger=trigger.id,
                tenant=trigger.tenant,
                offset=record.offset,
                subject=event.subject or "",
                outcome=match.outcome,
                run=run,
                reason=match.reason,
                at_ns=record.appended_ns,
            )
        )


def _is_whole(records: Sequence[Record]) -> bool:
    """Whether nobody else appended in between."""
    return records[-1].offset - records[0].offset == len(records) - 1


def _dead_letter(record: Record, kind: DeadLetterKind, reason: str, tenant: str) -> DeadLetter:
    event: Event = record.event
    return DeadLetter(
        id=digest(kind.encode(), lifecycle.identity(event).encode()),
        tenant=tenant,
        kind=kind,
        subject=event.subject or event.id,
        reason=reason,
        body=encode(event),
        at_ns=record.appended_ns,
    )
