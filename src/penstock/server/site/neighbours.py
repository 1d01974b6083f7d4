"""What the processes of a site tell of themselves to each other, when somebody wants to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
from msgspec import Raw, Struct

from penstock import __version__
from penstock.core.errors import PenstockError
from penstock.state.postgres.calls import Calls

HOW = "how"
SILENCE_S = 1.5
"""Who has not answered for so long is not there, or does nothing."""
FRESH_S = 5.0
"""Answers that are not older are good enough for a page."""
SKEW_S_MAX = 2.0
"""Clocks that differ by more deserve a word: order and retention go by the broker's."""
WORDS_MAX = 300


class Process(Struct, frozen=True, kw_only=True):
    """How a process is.

    Attributes:
        name: Host and process.
        roles: What it does.
        partitions: Which it owns.
        troubles: Parts that do not work, in words.
        now_ns: Its clock.
        skew_s: By how much that is ahead of the clock of who asked, as far as can be told.
        version: Of Penstock.
    """

    name: str
    roles: tuple[str, ...]
    partitions: tuple[int, ...]
    troubles: dict[str, str]
    now_ns: int
    skew_s: float = 0.0
    version: str = __version__


def telling(how: Callable[[], Process]) -> Callable[[Raw], AsyncIterator[Process]]:
    """Return what answers for one process."""

    async def answer(_what: Raw) -> AsyncIterator[Process]:
        found = how()
        short = {part: words[:WORDS_MAX] for part, words in list(found.troubles.items())[:10]}
        yield msgspec.structs.replace(found, troubles=short, now_ns=time.time_ns())

    return answer


async def processes(calls: Calls) -> list[Process]:
    """Return all that answer, by name.

    Raises:
        Unavailable: The database is away, that carries the question.
    """
    found: dict[str, Process] = {}
    asked_ns = time.time_ns()
    async for said in calls.ask(HOW, None, SILENCE_S):
        process = msgspec.json.decode(said.what, type=Process)
        after_ns = time.time_ns()
        # Its clock was read between our two looks at ours; a difference within them is none.
        skew_ns = max(process.now_ns - after_ns, 0) or min(process.now_ns - asked_ns, 0)
        found[process.name] = msgspec.structs.replace(process, skew_s=skew_ns / 1e9)
    return [found[name] for name in sorted(found)]


class Neighbours:
    """The other processes' troubles, for a page: asked for behind it, and told as they were last.

    Args:
        calls: To them.
        name: Ours.
    """

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls, self._name = calls, name
        self._known: dict[str, str] = {}
        self._at = -FRESH_S
        self._asking: asyncio.Task[None] | None = None

    def troubles(self) -> dict[str, str]:
        """Return what was last known; at once."""
        if self._asking is None and time.monotonic() > self._at + FRESH_S:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="neighbours")
        return self._known

    async def _ask(self) -> None:
        try:
            found = [each for each in await processes(self._calls) if each.name != self._name]
            self._known = {
                f"{each.name} {part}": words for each in found for part, words in each.troubles.items()
            }
        except PenstockError:
            self._known = {}
        finally:
            self._at, self._asking = time.monotonic(), None
