"""Whether broker and database answer, found out when somebody asks how things are, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from penstock.core.errors import PenstockError

ANSWER_S = 3.0
"""Longest wait for an answer; what is slower is told as such, and asked no second time meanwhile."""


class Probe:
    """Asks outside systems for a sign of life.

    Args:
        questions: By the part's name; each raises ``Unavailable`` in words.
    """

    def __init__(self, questions: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self._questions = questions
        self._asking: dict[str, asyncio.Task[object]] = {}

    async def troubles(self) -> dict[str, str]:
        """Return what does not answer, in words."""
        found = await asyncio.gather(*(self._ask(part) for part in self._questions))
        return {part: words for part, words in zip(self._questions, found, strict=True) if words}

    async def _ask(self, part: str) -> str:
        task = self._asking.get(part)
        if task is None:
            task = self._asking[part] = asyncio.ensure_future(self._questions[part]())
            task.add_done_callback(lambda _done: self._asking.pop(part, None))
        try:
            await asyncio.wait_for(asyncio.shield(task), ANSWER_S)
        except TimeoutError:
            return f"it has not answered for {ANSWER_S:g} s; what is told meanwhile is kept by who tells it"
        except PenstockError as error:
            return str(error)
        return ""
