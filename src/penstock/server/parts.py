"""Everything that an engine consists of, built by ``server.wiring``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.core.ports import BatchSystem, Runtime, Source
from penstock.log.embedded import EmbeddedLog
from penstock.routing.triggers import Triggers
from penstock.server.checkpoint import Checkpoint
from penstock.server.letters import Letters
from penstock.server.outbox import Outbox
from penstock.server.pump import Pump
from penstock.server.settings import Places, Settings
from penstock.state.embedded import EmbeddedState
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
    log: EmbeddedLog
    state: EmbeddedState
    outbox: Outbox
    letters: Letters
    registry: Registry
    triggers: Triggers
    timers: Timers
    publisher: Publisher
    runtime: Runtime
    batch: Mapping[str, BatchSystem]
    dispatcher: Dispatcher
    keeper: Keeper
    checkpoint: Checkpoint
    pump: Pump
    sources: tuple[Source, ...]
