"""The zygotes of all environments in use."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from penstock.functions.nursery import Notice, Nursery
from penstock.functions.settings import PoolSettings


class Nurseries:
    """One nursery per interpreter, made when it is first asked for.

    Args:
        loop: On which they work.
        heard: Gets each notice of each.
        gone: Called when a zygote has ended without being asked to.
        settings: Of the pool.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        heard: Callable[[Notice], None],
        gone: Callable[[Nursery], None],
        settings: PoolSettings,
    ) -> None:
        self._loop = loop
        self._heard = heard
        self._gone = gone
        self._settings = settings
        self._by_python: dict[str, Nursery] = {}

    def of(self, python: str) -> Nursery:
        """Return the nursery of an interpreter; one without workers is closed if there are too many.

        Raises:
            OSError: The interpreter cannot be started.
        """
        nursery = self._by_python.get(python)
        if nursery is None:
            self._make_room()
            nursery = Nursery(python, self._loop, self._heard, self._lost, self._settings)
            self._by_python[python] = nursery
        return nursery

    async def close(self) -> None:
        """End all zygotes and their workers; returns when they have ended."""
        waits = [nursery.close() for nursery in self._by_python.values()]
        self._by_python.clear()
        for wait in waits:
            await self._loop.run_in_executor(None, wait)

    def _make_room(self) -> None:
        unused = [python for python, nursery in self._by_python.items() if nursery.workers == 0]
        excess = len(self._by_python) - self._settings.zygotes_max + 1
        for python in unused[: max(0, excess)]:
            self._loop.run_in_executor(None, self._by_python.pop(python).close())

    def _lost(self, nursery: Nursery) -> None:
        self._by_python = {python: one for python, one in self._by_python.items() if one is not nursery}
        self._loop.run_in_executor(None, nursery.close())
        self._gone(nursery)
