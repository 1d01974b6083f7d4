"""A shard: what folds one partition of the log, and carries out what its records lead to.

Order of a start: the log is folded from the committed cursor to its end, publications that a crash
interrupted are finished, what has no answer is called again; only then may anything new come.
"""

from __future__ import annotations

import asyncio
import logging

from penstock.core.errors import Broken, PenstockError
from penstock.core.lifecycle import TriggerChange
from penstock.core.rows import CursorRow, Intent, RunRow
from penstock.functions.environment import restore
from penstock.server.backfill import Backfill, behind
from penstock.server.jobs import sweep_jobs
from penstock.server.life import VITAL, Life
from penstock.server.parts import Parts
from penstock.server.pump import READER

logger = logging.getLogger("penstock.shard")
REPLAY_BATCH = 1000
REPLAY_MAX = 20_000
"""Most records that are folded, where others append, too, before anything is carried out."""
FINISH_S = 5.0
"""How long a start waits for publications that a crash interrupted, in seconds; then they go on behind it."""


class Shard:
    """One partition's owner.

    Args:
        parts: What it consists of, see ``server.wiring``.
        life: Of the shard.
    """

    def __init__(self, parts: Parts, life: Life) -> None:
        self.parts = parts
        self._life = life
        self.backfill = Backfill(parts)

    async def start(self) -> None:
        """Recover, then follow the log."""
        parts = self.parts
        self._check_log()
        parts.registry.load()
        parts.letters.load()
        parts.keeper.load()
        self._replay()
        parts.keeper.caught_up()  # before anything is waited for, and so before any commit
        answered = await self._finish_publications()
        parts.publisher.clean(parts.keeper.unanswered_jobs(), self._is_ours)
        await self._restore_environments()
        parts.timers.load()  # before the waits are resumed, so that each keeps the deadline it had
        parts.keeper.resume(answered)
        await self._sweep_jobs()
        self._life.spawn(VITAL, parts.pump.follow())
        for trigger_id in behind(parts.state):
            self._life.spawn("catch up", self.backfill.catch_up(trigger_id))

    def _is_ours(self, run: str) -> bool:
        parts = self.parts
        return parts.alone or run in parts.keeper.active or parts.state.get(RunRow, run) is not None

    def _check_log(self) -> None:
        """Refuse to begin with a log that state is ahead of, before anything is taken for lost."""
        log, pump = self.parts.log, self.parts.pump
        row = self.parts.state.get(CursorRow, READER, 0)
        pump.folded = row.offset if row is not None else 0
        if pump.folded > log.end().offsets[0]:
            raise Broken(
                f"state has worked on {pump.folded} records, but {log.place} holds only "
                f"{log.end().offsets[0]}: it was damaged, or restored without its state. Restore both from "
                "one backup; what was cut off from a damaged log stands beside it in files named *.cut-*"
            )

    def _replay(self) -> None:
        """Fold what was appended after the last commit.

        At a site others append, too, so there may be much that no owner has acted upon. Then the
        replay ends early: what an owner did behind that is done again under the same names.
        """
        log, pump = self.parts.log, self.parts.pump
        end = log.end().offsets[0]
        if not self.parts.alone:
            end = min(end, pump.folded + REPLAY_MAX)
        while pump.folded < end:
            pump.fold_batch(log.read(pump.folded, min(pump.folded + REPLAY_BATCH, end)))

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
                self._life.troubles[f"function {key[1]}"] = str(error)
                logger.error("function %s cannot run: %s", key[1], error)

    async def _sweep_jobs(self) -> None:
        wanted = {*self.parts.dispatcher.in_flight, *(each.key for each in self.parts.publisher.unfinished())}
        folder = self.parts.folder / "jobs"
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
            work.append(self._life.spawn("publication", self._finish(intent, is_unanswered)))
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

    def resumed(self, change: TriggerChange, since: int, until: int) -> None:
        """Run what a trigger missed while it was paused; while the log is folded again, after that."""
        self.backfill.missed(change.id, since, until)
        if not self.parts.keeper.replaying:
            self._life.spawn("catch up", self.backfill.catch_up(change.id))

    async def quiet(self) -> None:
        """Begin nothing more; what is under way is taken up again by the next owner."""
        self.parts.timers.close()
        await self.parts.dispatcher.close()

    async def finish(self) -> None:
        """Commit what can be, and let go of log and state."""
        await self.parts.checkpoint.close()
        self.parts.state.close()
        self.parts.log.close()
