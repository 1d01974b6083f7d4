"""Commits state behind the work: one transaction for all that happened meanwhile, the log synced first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from penstock.core.errors import PenstockError, Unavailable
from penstock.core.ports import Log, State

logger = logging.getLogger("penstock.checkpoint")
CLOSE_S = 5.0
"""How long the last commit may take, in seconds."""
STAGED_RECORDS = 1000
"""Records folded since the last commit at which the next one lingers no more: their rows are in memory."""


class Checkpoint:
    """Decides when state is committed.

    Nothing wakes while nothing is staged. After the first staged row a commit begins within
    ``linger_s``, or at once when somebody waits for it or ``STAGED_RECORDS`` were folded.

    Args:
        log: Synced before each commit.
        state: Committed.
        stage: Called before each commit, to stage what is kept elsewhere (the runs' snapshots).
        linger_s: Longest lag, in seconds.
        broken: Called when a commit can never succeed.
    """

    def __init__(
        self,
        log: Log,
        state: State,
        stage: Callable[[], None],
        linger_s: float,
        broken: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._log = log
        self._state = state
        self._stage = stage
        self._linger_s = linger_s
        self._broken = broken or _told
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None
        self._folded = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        self.trouble: str | None = None
        self._position: Callable[[], int] = lambda: 0
        self._committed: Callable[[int], None] = lambda _position: None

    def report(self, position: Callable[[], int], committed: Callable[[int], None]) -> None:
        """Have ``committed`` called after each commit, with what ``position`` said just before it."""
        self._position, self._committed = position, committed

    def touch(self, records: int = 0) -> None:
        """Say that rows were staged, and how many records of the log were folded for them."""
        self._folded += records
        if self._running is not None:
            return
        if self._folded >= STAGED_RECORDS:
            self._begin_now()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger_s, self._begin)

    async def durable(self) -> None:
        """Return once everything staged so far is on disk; while it is full, wait.

        Raises:
            PenstockError: It never will be.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._running is None:
            self._begin_now()
        await future

    def _begin_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._begin()

    def _begin(self) -> None:
        self._timer = None
        self._running = asyncio.get_running_loop().create_task(self._commit())
        self._running.add_done_callback(self._ended)

    async def _commit(self) -> None:
        self._served, self._waiting = self._waiting, []
        position = 0

        def taken() -> None:
            nonlocal position
            self._stage()
            self._folded = 0
            position = self._position()

        while True:
            try:
                await self._state.commit(self._log.sync, taken)
                break
            except Unavailable as error:
                self.trouble = str(error)
                await asyncio.sleep(error.retry_after_s)
        self.trouble = None
        self._committed(position)
        for future in self._served:
            if not future.done():
                future.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._fail(error)
        elif self._waiting:
            self._begin()
        elif self._state.dirty:
            self.touch()

    def _fail(self, error: BaseException) -> None:
        """Let nobody wait for what never comes."""
        waiting, self._waiting = self._served + self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(error)
        self._broken(error)

    async def close(self, wait_s: float = CLOSE_S) -> None:
        """Commit what is staged; give up after ``wait_s`` seconds, for all of it can be derived again."""
        try:
            await asyncio.wait_for(self.durable(), wait_s)
        except (TimeoutError, PenstockError) as error:
            logger.warning("state lags behind the log, and is brought up at the next start: %s", error)
        for pending in (self._timer, self._running):
            if pending is not None:
                pending.cancel()


def _told(error: BaseException) -> None:
    logger.critical("state cannot be committed: %s", error, exc_info=error)
