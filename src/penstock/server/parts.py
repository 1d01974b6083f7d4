"""Everything that a shard consists of, built by ``server.wiring``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.core.ports import BatchSystem, Runtime, ShardLog, ShardState
from penstock.core.rows import DeadLetter
from penstock.routing.triggers import Triggers
from penstock.server.calendar import Calendar
from penstock.server.checkpoint import Checkpoint
from penstock.server.jobs import Jobs
from penstock.server.ledger import PendingLedger
from penstock.server.letters import Letters
from penstock.server.outbox import Outbox
from penstock.server.pump import Pump
from penstock.server.settings import Places, Settings
from penstock.storage.publish import Publisher
from penstock.workflows.dispatcher import Dispatcher
from penstock.workflows.keeper import Keeper
from penstock.workflows.registry import Registry
from penstock.workflows.timers import Timers


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts, by their names in ``server.wiring``."""

    settings: Settings
    places: Places
    folder: Path
    partition: int
    alone: bool
    log: ShardLog
    state: ShardState
    calendar: Calendar
    ledger: PendingLedger
    outbox: Outbox
    letters: Letters
    registry: Registry
    triggers: Triggers
    timers: Timers
    publisher: Publisher
    runtime: Runtime
    batch: Mapping[str, BatchSystem]
    jobs: Jobs
    dispatcher: Dispatcher
    keeper: Keeper
    checkpoint: Checkpoint
    pump: Pump

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep a letter, soon."""
        self.letters.keep(letter)
        self.checkpoint.touch()
