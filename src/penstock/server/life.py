"""What goes on in a process beside its main thread of work: tasks, troubles, and when it is to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from penstock.core.errors import Refused

logger = logging.getLogger("penstock.engine")
VITAL = "pump"
"""Begins the names of tasks without which nothing goes on, whatever they end with."""


class Life:
    """The tasks of a process, or of a shard of it, and its end.

    Args:
        failed: Called when it fails; a process's life then stops by itself.

    Attributes:
        started: Set when everything works.
        stopping: Set when it is to end.
        failure: Why it ended by itself.
        troubles: What does not work at present, by the part's name, in words.
    """

    def __init__(self, failed: Callable[[BaseException], None] | None = None) -> None:
        self._failed = failed
        self.started = asyncio.Event()
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self.troubles: dict[str, str] = {}
        self._troubled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the rest; a bug in it ends the process."""
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
        if error is not None and (not isinstance(error, Refused) or task.get_name().startswith(VITAL)):
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End: the promises cannot be kept any more."""
        if self.failure is not None:
            return
        self.failure = error
        self.stopping.set()
        if self._failed is not None:
            self._failed(error)

    def trouble(self, part: str, words: str | None) -> None:
        """Note why a part does not work; with None, that it does."""
        if words is None:
            self.troubles.pop(part, None)
        else:
            self.troubles[part] = words
            self._troubled.set()

    async def in_trouble(self, part: str) -> None:
        """Return when the part of this name is in trouble."""
        while part not in self.troubles:
            self._troubled.clear()
            await self._troubled.wait()

    async def close(self) -> None:
        """End all tasks."""
        self.stopping.set()
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
