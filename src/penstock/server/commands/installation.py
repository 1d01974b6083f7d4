"""What concerns the whole installation: replay, logs of calls, backup, status, stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time_ns
from typing import Any

from penstock.core.errors import Conflict, Refused
from penstock.core.event import path_of
from penstock.functions.pool import Pool
from penstock.log.embedded import EmbeddedLog
from penstock.server.backfill import BATCH
from penstock.server.commands.definitions import find_trigger
from penstock.server.commands.wishes import BackupWish, LogWish, ReconcileWish, ReplayWish, Who
from penstock.server.engine import Engine
from penstock.server.jobs import job_log
from penstock.server.reconcile import ordered
from penstock.state.embedded import EmbeddedState

SHOWN_MAX = 1000
"""Events of a replay that are named in the answer."""


class Whole:
    """The installation.

    Args:
        engine: What runs it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts = engine.parts

    async def replay(self, wish: ReplayWish) -> Any:
        """Run a trigger for events of the log, a batch at a time."""
        trigger = find_trigger(self._parts.registry, wish.tenant, wish.trigger)
        until = min(wish.until, self._parts.log.end().offsets[0])
        generation = time_ns() // 1_000_000 if wish.again else 0
        shown: list[str] = []
        count, since = 0, wish.since
        while since < until:
            records = self._parts.log.read(since, min(since + BATCH, until))
            found = [record.event for record in self._engine.shard.backfill.matching(trigger, records)]
            shown += [event.subject or event.id for event in found[: SHOWN_MAX - len(shown)]]
            count += len(found)
            for event in () if wish.dry_run else found:
                self._engine.shard.backfill.request(trigger, event, wish.principal, generation)
            since = records[-1].offset + 1 if records else until
            await asyncio.sleep(0)
        if not wish.dry_run:
            await self._parts.checkpoint.durable()
        return {"trigger": trigger.name, "events": shown, "count": count}

    async def reconcile(self, wish: ReconcileWish) -> Any:
        """Have a folder compared, or say what that would tell."""
        folder = path_of(wish.folder) or b"/"
        if wish.dry_run:
            return await self._engine.reconciler.trial(wish.storage, folder)
        row = self._engine.reconciler.order(wish.storage, folder, wish.reason)
        await self._parts.checkpoint.durable()
        return ordered(row)

    async def log(self, wish: LogWish) -> Any:
        """Return ``file:start:``, or an empty text while the call has not begun."""
        key = f"{wish.run}/{wish.step}/{wish.item}/{wish.attempt}"
        flight = self._parts.dispatcher.in_flight.get(key)
        if flight is None:
            return {"log": "", "under_way": False}
        if flight.step.batch is not None:
            file = job_log(self._parts.places.state / "logs", key)
            return {"log": f"{file}:0:" if file.exists() else "", "under_way": True}
        runtime = self._parts.runtime
        return {"log": (isinstance(runtime, Pool) and runtime.log_of(key)) or "", "under_way": True}

    async def backup(self, wish: BackupWish) -> Any:
        """Copy state, then log: a restored log knows at least what the state knows."""
        log, state = self._parts.log, self._parts.state
        if not isinstance(log, EmbeddedLog) or not isinstance(state, EmbeddedState):
            raise Refused(
                "log and state are a broker's and a database's here: back them up by their own means"
            )
        target = _new_folder(wish.folder)
        await self._parts.checkpoint.durable()
        await state.backup(target / "state.db")
        end = await log.backup(target / "log" / "0")
        return {"folder": str(target), "records": end}

    async def status(self, _who: Who) -> Any:
        """Return what is going on."""
        parts = self._parts
        return {
            "log": {"end": parts.log.end().offsets[0], "durable": parts.log.durable_end},
            "folded": parts.pump.folded,
            "runs": {"active": len(parts.keeper.active), "waiting": len(parts.keeper.backlog)},
            "in_flight": len(parts.dispatcher.in_flight),
            "triggers": len(parts.registry.triggers),
            "paused": sum(trigger.paused for trigger in parts.registry.triggers.values()),
            "storages": [{"name": s.name, "folder": s.folder} for s in parts.settings.storages],
            "troubles": self._engine.life.troubles
            | parts.publisher.troubles
            | ({"state": parts.checkpoint.trouble} if parts.checkpoint.trouble else {}),
        }

    async def stop(self, _who: Who) -> Any:
        """End the engine."""
        self._engine.life.stopping.set()
        return {}


def _new_folder(name: str) -> Path:
    folder = Path(name)
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
