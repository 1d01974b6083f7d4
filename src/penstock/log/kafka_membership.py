"""Which partitions of the log are this process's to fold: membership of a consumer group, without reading.

The group's protocol finds dead and stopped members (its heartbeats are the client's own), and moves their
partitions to others. It does not keep a stopped process that wakes up from writing; the state's epochs do.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import TimeoutError as TooLong
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from penstock.outside.kafka import KafkaAccess, in_words, is_serious, opened

WAKE_S = 1.0
"""Longest time until the thread notices that it is to end; the client's own threads wake as often."""
HAND_OVER_S = 10.0
"""Longest time that a partition's old owner takes to commit what it has, in seconds."""
SESSION_MS = 10_000
"""A member that has not been heard of for so long has lost its partitions."""

logger = logging.getLogger("penstock.log.kafka")
Gained = Callable[[Collection[int]], None]
Lost = Callable[[Collection[int]], Awaitable[None]]


class Membership:
    """One member of the group that folds a topic.

    Args:
        access: The cluster.
        topic: Of the log.
        group: Shared by all processes that fold it.
        gained: Called in the event loop's thread with partitions that are ours from now on.
        lost: Awaited in the event loop before partitions are given to others, if there is time.
        trouble: Called with words while the cluster cannot be reached, with None when it can.
    """

    def __init__(
        self,
        access: KafkaAccess,
        topic: str,
        group: str,
        gained: Gained,
        lost: Lost,
        trouble: Callable[[str | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._access, self._topic = access, topic
        self._gained, self._lost, self._trouble = gained, lost, trouble
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._troubled = False
        self._consumer: Consumer = opened(Consumer, access, self._config(group))
        threading.Thread(target=self._run, name=f"kafka-{group}", daemon=True).start()

    def _config(self, group: str) -> dict[str, Any]:
        return {
            "group.id": group,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": SESSION_MS,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest",
            "error_cb": self._on_error,
            "logger": logger,
        }

    async def leave(self) -> None:
        """Give all partitions back, and return when that is done."""
        self._stop.set()
        await self._ended.wait()

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            while not self._stop.is_set():
                self._consumer.poll(WAKE_S)  # nothing is read: every partition is paused
                self._well()
        except KafkaException as error:
            self._in_loop(self._trouble, str(in_words(error.args[0], self._access, self._what())))
            logger.exception("the group cannot be followed")
        finally:
            self._close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        self._in_loop(self._gained, [each.partition for each in partitions])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        try:
            asyncio.run_coroutine_threadsafe(self._let_go(numbers), self._loop).result(HAND_OVER_S)
        except (TooLong, RuntimeError):
            logger.warning("partitions %s were not handed over in time; their next owner recovers", numbers)
        consumer.incremental_unassign(partitions)

    async def _let_go(self, partitions: Collection[int]) -> None:
        await self._lost(partitions)

    def _on_error(self, error: KafkaError) -> None:
        if is_serious(error):
            self._troubled = True
            self._in_loop(self._trouble, str(in_words(error, self._access, self._what())))

    def _well(self) -> None:
        if self._troubled and self._consumer.assignment():
            self._troubled = False
            self._in_loop(self._trouble, None)

    def _what(self) -> str:
        return f"the log's topic {self._topic!r} cannot be shared out"

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            logger.debug("the event loop has ended")

    def _close(self) -> None:
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            logger.info("the group was left with %s", error)
        self._in_loop(self._ended.set)
