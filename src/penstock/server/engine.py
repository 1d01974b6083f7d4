"""The engine: starts the parts in the right order, keeps them going, and ends them.

Order of a start: state and log are read, the log is folded from the committed cursor to its end,
publications that a crash interrupted are finished, what has no answer is called again; only then do
sources begin, so that the ledger knows all that the log holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from penstock.core.errors import Broken, PenstockError, Refused, Unavailable
from penstock.core.event import Event
from penstock.core.lifecycle import TriggerChange
from penstock.core.ports import Source
from penstock.core.rows import CursorRow, Intent
from penstock.functions.environment import restore
from penstock.server.backfill import Backfill, behind
from penstock.server.housekeeping import tidy
from penstock.server.jobs import sweep_jobs
from penstock.server.parts import Parts
from penstock.server.pump import READER

logger = logging.getLogger("penstock.engine")
REPLAY_BATCH = 1000
FINISH_S = 5.0
"""How long a start waits for publications that a crash interrupted, in seconds; then they go on behind it."""


class Engine:
    """One installation's engine.

    Args:
        parts: Everything that was built, see ``server.wiring``.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._tasks: set[asyncio.Task[None]] = set()
        self.started = asyncio.Event()
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self.troubles: dict[str, str] = {}
        self._troubled = asyncio.Event()
        self.backfill = Backfill(parts, self.troubles)

    async def start(self) -> None:
        """Recover, then let sources and pump run."""
        parts = self.parts
        self._check_log()
        parts.registry.load()
        parts.keeper.load()
        self._replay()
        parts.keeper.caught_up()  # before anything is waited for, and so before any commit
        answered = await self._finish_publications()
        parts.publisher.clean(parts.keeper.unanswered_jobs())
        parts.runtime.sweep_earlier()
        await self._restore_environments()
        parts.timers.load()  # before the waits are resumed, so that each keeps the deadline it had
        parts.keeper.resume(answered)
        await self._sweep_jobs()
        self._spawn("pump", parts.pump.follow())
        for trigger_id in behind(parts.state):
            self._spawn("catch up", self.backfill.catch_up(trigger_id))
        for source in parts.sources:
            self._spawn(f"source {source.name}", self._run_source(source))
        await self._sources_ready()
        self.started.set()
        self._spawn("housekeeping", tidy(parts))

    async def _sources_ready(self) -> None:
        """Wait until every source that can work is watching, and what it found quietly is on disk."""
        waits = {source.name: asyncio.ensure_future(source.ready()) for source in self.parts.sources}
        stopped = asyncio.ensure_future(self.stopping.wait())
        for name, wait in waits.items():
            trouble = asyncio.ensure_future(self._trouble(name))
            await asyncio.wait([wait, stopped, trouble], return_when=asyncio.FIRST_COMPLETED)
            trouble.cancel()
            wait.cancel()
        stopped.cancel()
        await self.parts.checkpoint.durable()

    async def _trouble(self, name: str) -> None:
        """Return when the source of this name is in trouble."""
        while name not in self.troubles:
            self._troubled.clear()
            await self._troubled.wait()

    def _check_log(self) -> None:
        """Refuse to begin with a log that state is ahead of, before anything is taken for lost."""
        log, pump = self.parts.log, self.parts.pump
        row = self.parts.state.get(CursorRow, READER, 0)
        pump.folded = row.offset if row is not None else 0
        if pump.folded > log.end().offsets[0]:
            raise Broken(
                f"state has worked on {pump.folded} records, but the log in {log.folder} holds only "
                f"{log.end().offsets[0]}: it was damaged, or restored without its state. Restore both from "
                "one backup; what was cut off from a damaged log stands beside it in files named *.cut-*"
            )

    def _replay(self) -> None:
        """Fold what was appended after the last commit."""
        log, pump = self.parts.log, self.parts.pump
        while pump.folded < log.end().offsets[0]:
            pump.fold_batch(log.read(pump.folded, pump.folded + REPLAY_BATCH))

    async def _restore_environments(self) -> None:
        """Build again what triggers need and somebody removed from the cache."""
        registry = self.parts.registry
        wanted = {
            (trigger.tenant, step.function)
            for trigger in registry.triggers.values()
            if (workflow := registry.workflows.get((trigger.tenant, trigger.workflow))) is not None
            for step in workflow.steps
        }
        cache = self.parts.places.cache / "environments"
        loop = asyncio.get_running_loop()
        for key in wanted & registry.functions.keys():
            try:
                registry.functions[key] = await loop.run_in_executor(
                    None, restore, registry.functions[key], cache
                )
            except PenstockError as error:
                self.troubles[f"function {key[1]}"] = str(error)
                logger.error("function %s cannot run: %s", key[1], error)

    async def _sweep_jobs(self) -> None:
        wanted = {*self.parts.dispatcher.in_flight, *(each.key for each in self.parts.publisher.unfinished())}
        folder = self.parts.places.state / "jobs"
        await asyncio.get_running_loop().run_in_executor(None, sweep_jobs, folder, wanted)

    async def _finish_publications(self) -> frozenset[tuple[str, str, int, int]]:
        """Finish what a crash interrupted; return the attempts whose end was not on the log yet."""
        answered, work = set(), []
        for intent in self.parts.publisher.unfinished():
            run, step, item, attempt = intent.key.rsplit("/", 3)
            key = (run, step, int(item), int(attempt))
            is_unanswered = self.parts.keeper.is_unanswered(*key)
            if is_unanswered:
                answered.add(key)
            work.append(self._spawn("publication", self._finish(intent, is_unanswered)))
        if work:
            await asyncio.wait(work, timeout=FINISH_S)
        return frozenset(answered)

    async def _finish(self, intent: Intent, is_unanswered: bool) -> None:
        try:
            if is_unanswered:
                active = self.parts.keeper.active.get(intent.run)
                await self.parts.dispatcher.recover(intent, active.run.depth + 1 if active else 1)
            else:
                await self.parts.publisher.finish(intent)
                self.parts.publisher.settle(intent.key)
        except PenstockError as error:
            logger.error("a publication cannot be finished: %s", error)

    async def _run_source(self, source: Source) -> None:
        while not self.stopping.is_set():
            try:
                async for events in source.events():
                    await self._append(events)
                    self.troubles.pop(source.name, None)
            except Unavailable as error:
                self.troubles[source.name] = str(error)
                self._troubled.set()
                logger.warning("source %s: %s", source.name, error)
                await asyncio.sleep(error.retry_after_s)
            except Refused as error:
                self.troubles[source.name] = str(error)
                self._troubled.set()
                logger.error("source %s stays off: %s", source.name, error)
                return

    async def _append(self, events: Sequence[Event]) -> None:
        while True:
            fresh = self.parts.pump.unseen(events)
            if not fresh:
                return
            try:
                records = await self.parts.log.append(fresh)
            except Unavailable as error:
                self.troubles["log"] = str(error)
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)
            else:
                self.parts.pump.take(records)
                self.troubles.pop("log", None)
                return

    def resumed(self, change: TriggerChange, since: int, until: int) -> None:
        """Run what a trigger missed while it was paused; while the log is folded again, after that."""
        self.backfill.missed(change.id, since, until)
        if not self.parts.keeper.replaying:
            self._spawn("catch up", self.backfill.catch_up(change.id))

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the rest; its failure is logged."""
        self._spawn(name, work)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        logger.critical("%s ended: %s", task.get_name(), error, exc_info=error)
        if error is not None and (not isinstance(error, Refused) or task.get_name() == "pump"):
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the engine: it cannot keep its promises any more."""
        self.failure = error
        self.stopping.set()

    async def stop(self) -> None:
        """End sources, then everything; what is under way is taken up again at the next start."""
        self.stopping.set()
        for source in self.parts.sources:
            await source.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        parts = self.parts
        parts.timers.close()
        await parts.dispatcher.close()
        for system in parts.batch.values():
            await system.close()
        await parts.runtime.close()
        await parts.checkpoint.close()
        parts.state.close()
        parts.log.close()
