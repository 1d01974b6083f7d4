"""Published files that their source has not seen yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import time_ns
from typing import Protocol

from penstock.core.rows import OutputRow

FRESH_MAX = 10_000
"""Published files remembered until their source has seen them; beyond, state is asked."""
FRESH_MARGIN_NS = 60 * 10**9


class Outputs(Protocol):
    """Where outputs are looked up."""

    def output(self, path: bytes) -> OutputRow | None:
        """Return who published a path last."""


class Fresh:
    """Knows which new files are our own.

    A file is ours once: who rewrites it later is its author. Only files that changed before this process
    began are looked up in state; those of this life are remembered until they are seen.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._expected: dict[bytes, OutputRow] = {}
        self._since_ns = time_ns()

    def expect(self, outputs: Sequence[OutputRow | None]) -> None:
        """Expect the source to see these soon."""
        self._expected.update({output.path: output for output in outputs if output is not None})
        if len(self._expected) > FRESH_MAX:
            self._expected.clear()
            self._since_ns = time_ns() + FRESH_MARGIN_NS

    def published(self, path: bytes, stat: os.stat_result) -> tuple[str, int] | None:
        """Return run and depth behind a file that we published, or None if it is not ours."""
        fresh = self._expected.pop(path, None)
        if fresh is None and stat.st_ctime_ns < self._since_ns:
            fresh = self._outputs.output(path)
        return (fresh.run, fresh.depth) if fresh is not None and fresh.inode == stat.st_ino else None
