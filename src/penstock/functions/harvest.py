"""From a worker's reply to an answer: its files are taken out of the worker's reach, then looked at."""

from __future__ import annotations

import os
import time

from penstock.core.ports import Answer, Invocation
from penstock.functions import scratch, supervise
from penstock.functions.slot import Reply, Slot
from penstock.functions.sweep import Sweeper

LOG_BYTES_MAX = 1 << 48
"""Longest log that a worker may say it has."""


class Harvest:
    """What calls have written: taken from their workers, lent to whoever publishes it, removed.

    Args:
        folder: Where it lies meanwhile.
        incarnation: Begins the name of every folder that is of this life of the engine.
        sweeper: Removes folders.
    """

    def __init__(self, folder: str, incarnation: str, sweeper: Sweeper) -> None:
        self._folder = folder
        self._incarnation = incarnation
        self._sweeper = sweeper

    def gather(self, call: Invocation, slot: Slot, reply: Reply) -> Answer:
        """Return the answer that a reply gives, and what the call has written with it.

        Blocks for some ten microseconds, and a few more for each file.
        """
        folder = os.path.join(self._folder, f"{self._incarnation}-{slot.number}-{reply.folder}")
        files, error, retryable = None, reply.error, reply.retryable
        if reply.files:
            try:
                files = _take(f"{slot.folder}/out/{reply.folder}", folder, call.function.limits.file_bytes)
            except (scratch.Unsafe, OSError) as fault:
                error, retryable = f"{call.function.reference}: {fault}", False
            if not files:
                self._sweeper.remove(folder)
        return Answer(
            key=call.key,
            result=reply.result if error is None else None,
            error=error,
            retryable=retryable,
            evicted=reply.evicted and error is not None,
            scratch=folder if files else "",
            files=files,
            log=slot.span(max(0, min(reply.log, LOG_BYTES_MAX))),
            started_ns=reply.started,
            ended_ns=time.time_ns(),
        )

    def release(self, answer: Answer) -> None:
        """Take back an answer's folder; what is left in it is removed."""
        if not answer.scratch:
            return
        try:
            os.rmdir(answer.scratch)
        except FileNotFoundError:
            return
        except OSError:
            self._sweeper.remove(answer.scratch)

    def sweep_earlier(self) -> None:
        """Remove what earlier lives of the engine left, soon."""
        for name in os.listdir(self._folder):
            if not name.startswith(self._incarnation):
                self._sweeper.remove(os.path.join(self._folder, name))


def _take(source: str, folder: str, file_bytes: int) -> tuple[str, ...] | None:
    # Moved first: what is checked then cannot be changed by path behind our back.
    os.rename(source, folder)
    used, _ = supervise.usage(folder, scratch.FILES_MOST)
    if used > file_bytes:
        raise scratch.Unsafe(f"it wrote {used} bytes, its limit file_bytes is {file_bytes}; raise the limit")
    return tuple(scratch.safe_listing(folder)) or None
