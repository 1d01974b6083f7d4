"""Role ``runs``: owns partitions of the log, with a shard for each.

The consumer group says which. Opening the state of a partition takes it over: its epoch rises, and nothing
that an earlier owner still wants to commit is written any more. So the order is: state first, then what the
log holds, and a shard that is told that somebody else took over stops at once, whatever it was about to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from functools import partial

from penstock.core.errors import Fenced, PenstockError, Unavailable
from penstock.log.kafka import KafkaLog, KafkaLogSettings
from penstock.log.kafka_membership import Membership
from penstock.server.feeding import LOG
from penstock.server.housekeeping import keep_tidy
from penstock.server.life import Life
from penstock.server.shard import Shard
from penstock.server.shared import Shared
from penstock.server.wiring import build_shard
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState

logger = logging.getLogger("penstock.site")
AGAIN_S = 5.0
"""How long after its loss a partition that is still ours is taken up again, in seconds."""


class Owner:
    """The shards of one process.

    Args:
        shared: Workers, queue and so on.
        kafka: The log.
        postgres: The state.
        name: Of this process, in words for people: host and process.
    """

    def __init__(
        self, shared: Shared, kafka: KafkaLogSettings, postgres: PostgresSettings, name: str
    ) -> None:
        self._shared = shared
        self._kafka = kafka
        self._postgres = postgres
        self._name = name
        self.shards: dict[int, Shard] = {}
        self._lives: dict[int, Life] = {}
        self._assigned: set[int] = set()
        self._changing: dict[int, asyncio.Lock] = {}
        self._membership: Membership | None = None

    def start(self) -> None:
        """Join the group; partitions come when it says so."""
        self._membership = Membership(
            self._kafka,
            self._kafka.topic,
            f"{self._kafka.topic}-runs",
            self._gained,
            self._lost,
            partial(self._shared.life.trouble, LOG),
        )

    def _gained(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._assigned.add(partition)
            self._shared.life.spawn(f"partition {partition}", self._own(partition))

    async def _lost(self, partitions: Collection[int]) -> None:
        self._assigned.difference_update(partitions)
        await asyncio.gather(*(self._release(partition) for partition in partitions))

    async def _own(self, partition: int) -> None:
        """Take a partition over and fold it, as soon as log and state are there."""
        name = f"partition {partition}"
        trouble = partial(self._shared.life.trouble, name)
        async with self._lock(partition):
            while partition in self._assigned and partition not in self.shards:
                try:
                    await self._begin(partition)
                except Unavailable as error:
                    trouble(str(error))
                    logger.warning("%s: %s", name, error)
                    await asyncio.sleep(error.retry_after_s)
                except Fenced as error:
                    logger.warning("%s was taken over while it was begun: %s", name, error)
                    await asyncio.sleep(AGAIN_S)
                else:
                    trouble(None)

    async def _begin(self, partition: int) -> None:
        state = await PostgresState.open(self._postgres, partition, self._name)
        try:
            log = await asyncio.to_thread(KafkaLog, self._kafka, partition)
        except BaseException:
            state.close()
            raise
        life = Life(lambda error: self._broken(partition, error))
        shard = build_shard(
            self._shared,
            log,
            state,
            partition=partition,
            alone=False,
            life=life,
            folder=self._shared.folder / f"partition-{partition}",
        )
        self._lives[partition] = life
        self.shards[partition] = shard
        try:
            await shard.start()
        except BaseException:
            await self._end(partition)
            raise
        life.started.set()
        logger.info("partition %d is ours, epoch %d", partition, state.epoch)
        life.spawn("housekeeping", keep_tidy(shard.parts))

    def _broken(self, partition: int, error: BaseException) -> None:
        """A shard cannot go on. Fenced, it is somebody else's; else the process's promises are broken."""
        if isinstance(error, Fenced | Unavailable):
            logger.warning("partition %d: %s", partition, error)
            self._shared.life.spawn(f"partition {partition}", self._again(partition))
        else:
            self._shared.life.fail(error)

    async def _again(self, partition: int) -> None:
        await self._release(partition)
        await asyncio.sleep(AGAIN_S)
        if partition in self._assigned:
            await self._own(partition)

    async def _release(self, partition: int) -> None:
        async with self._lock(partition):
            await self._end(partition)

    async def _end(self, partition: int) -> None:
        shard = self.shards.pop(partition, None)
        if shard is None:
            return
        self._shared.returns.remove(shard.parts)
        await self._lives.pop(partition).close()
        await shard.quiet()
        for key in list(shard.parts.dispatcher.in_flight):
            self._shared.runtime.stop(key)
            for system in self._shared.batch.values():
                await system.cancel(key)
        try:
            await shard.finish()
        except PenstockError as error:
            logger.warning("partition %d was left: %s", partition, error)

    def _lock(self, partition: int) -> asyncio.Lock:
        return self._changing.setdefault(partition, asyncio.Lock())

    async def stop(self) -> None:
        """Give everything back; the next owners go on from what is committed."""
        if self._membership is not None:
            await self._membership.leave()
        for partition in list(self.shards):
            await self._release(partition)
