"""Commits state behind the work: one transaction for all that happened meanwhile, the log synced first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.core.errors import Unavailable
from penstock.core.ports import Log, State


class Checkpoint:
    """Decides when state is committed.

    Nothing wakes while nothing is staged. After the first staged row a commit begins within
    ``linger_s``, or at once when somebody waits for it.

    Args:
        log: Synced before each commit.
        state: Committed.
        stage: Called before each commit, to stage what is kept elsewhere (the runs' snapshots).
        linger_s: Longest lag, in seconds.
    """

    def __init__(self, log: Log, state: State, stage: Callable[[], None], linger_s: float) -> None:
        self._log = log
        self._state = state
        self._stage = stage
        self._linger_s = linger_s
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self.trouble: str | None = None

    def touch(self) -> None:
        """Say that rows were staged."""
        if self._timer is None and self._running is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger_s, self._begin)

    async def durable(self) -> None:
        """Return once everything staged so far is on disk."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._running is None:
            if self._timer is not None:
                self._timer.cancel()
            self._begin()
        await future

    def _begin(self) -> None:
        self._timer = None
        self._running = asyncio.get_running_loop().create_task(self._commit())
        self._running.add_done_callback(self._ended)

    async def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        while True:
            try:
                self._stage()
                await self._state.commit(self._log.sync)
                break
            except Unavailable as error:
                self.trouble = str(error)
                await asyncio.sleep(error.retry_after_s)
        self.trouble = None
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "state cannot be committed", "exception": error, "task": task}
            )
        elif self._waiting:
            self._begin()
        elif self._state.dirty:
            self.touch()

    async def close(self) -> None:
        """Commit what is staged."""
        await self.durable()
        if self._timer is not None:
            self._timer.cancel()
