"""From a worker's reply to an answer: its files are taken out of the worker's reach, then looked at."""

from __future__ import annotations

import os
import time

from penstock.core.ports import Answer, Invocation
from penstock.functions import scratch, supervise
from penstock.functions.slot import Reply, Slot

LOG_BYTES_MAX = 1 << 48
"""Longest log that a worker may say it has."""


def gather(call: Invocation, slot: Slot, reply: Reply, folder: str) -> Answer:
    """Return the answer that a reply gives. What the call has written lies in ``folder`` afterwards.

    Blocks for some ten microseconds, and a few more for each file. If the answer is an error, ``folder`` may
    be there and is the caller's to remove.
    """
    files, error, retryable = None, reply.error, reply.retryable
    if reply.files:
        try:
            files = _take(f"{slot.folder}/out/{reply.folder}", folder, call.function.limits.file_bytes)
        except (scratch.Unsafe, OSError) as fault:
            error, retryable = f"{call.function.reference}: {fault}", False
    return Answer(
        key=call.key,
        result=reply.result if error is None else None,
        error=error,
        retryable=retryable,
        scratch=folder if files else "",
        files=files,
        log=slot.span(max(0, min(reply.log, LOG_BYTES_MAX))),
        started_ns=reply.started,
        ended_ns=time.time_ns(),
    )


def _take(source: str, folder: str, file_bytes: int) -> tuple[str, ...] | None:
    # Moved first: what is checked then cannot be changed by path behind our back.
    os.rename(source, folder)
    used, _ = supervise.usage(folder, scratch.FILES_MOST)
    if used > file_bytes:
        raise scratch.Unsafe(f"it wrote {used} bytes, its limit file_bytes is {file_bytes}; raise the limit")
    return tuple(scratch.safe_listing(folder)) or None
