"""What is removed, and when. Stated rules, no clock of its own.

================================ ==========================================================
log segments                     older than ``log.retention_s``, or all together larger than
                                 ``log.retention_bytes``; not what runs and catching-up triggers need,
                                 nor what a paused trigger has not seen, up to ``PINNED_SHARE`` of that
ended runs and what is theirs    ended longer ago than ``history_s``, and no open dead letter needs them
closed dead letters, decisions   older than ``history_s``
seen event ids                   their event has left the log
what is known of deleted files   their last event has left the log, and no run, decision or open dead
                                 letter is about them: a path that comes again gets its first ids again
who published a path             published longer ago than ``history_s``, the run is forgotten, and nothing
                                 is there; ``OUTPUTS_MAX`` are looked at each time, going round
log files of workers and jobs    not written to for ``history_s``
scratch of an earlier life       at the next start, after recovery
================================ ==========================================================

It is looked at at every start, and each time a log segment is full; where the log is a broker's, behind every
``TIDY_RECORDS`` records of a partition. What time it is, ``calendar`` says: a
clock that stands ahead must not make everything look old.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from penstock.core.errors import Unavailable
from penstock.log.embedded import EmbeddedLog
from penstock.server.backfill import behind
from penstock.server.parts import Parts
from penstock.state.history import CHUNK_ROWS, Orphan

logger = logging.getLogger("penstock.housekeeping")
PINNED_SHARE = 0.5
TIDY_RECORDS = 100_000
"""At a site it is looked at each time so many records were folded."""
OUTPUTS_MAX = 100_000
"""Outputs that are looked at each time; a segment of the log holds fewer new ones."""


@runtime_checkable
class OutputMemory(Protocol):
    """A state that can forget outputs."""

    async def orphans(self, published_before_ns: int) -> tuple[list[Orphan], bool]:
        """Return, of the next outputs, those whose run is forgotten, and whether the round ends."""

    async def forget_outputs(self, gone: Sequence[Orphan]) -> None:
        """Remove their rows."""


async def keep_tidy(parts: Parts) -> None:
    """Tidy now and behind every ``TIDY_RECORDS``, for ever: for logs that have no segments of ours."""
    while True:
        await tidy(parts)
        await parts.pump.reached(parts.pump.folded + TIDY_RECORDS)


async def tidy(parts: Parts) -> None:
    """Remove what the rules above let go. On a full disk, or while the broker is away, that is next time."""
    try:
        first = await _retained(parts)
    except Unavailable as error:
        logger.warning("old history stays for now: %s", error)
        return
    history_s = parts.settings.history_s
    before_ns = parts.calendar.now_ns() - int(history_s * 1e9)
    try:
        await parts.state.forget(ended_before_ns=before_ns, offset_before=first)
        if isinstance(parts.state, OutputMemory):
            await forget_outputs(parts.state, parts.publisher.gone, before_ns)
    except Unavailable as error:
        logger.warning("old history stays for now: %s", error)
    loop = asyncio.get_running_loop()
    removed = await loop.run_in_executor(None, _old_logs, parts.places.state / "logs", before_ns / 1e9)
    if removed:
        logger.info("removed %d log files of functions, unused for %.0f days", removed, history_s / 86400)


async def _retained(parts: Parts) -> int:
    if isinstance(parts.log, EmbeddedLog):
        return parts.log.retain(pinned(parts))
    return await asyncio.to_thread(parts.log.retain, pinned(parts))  # it asks a broker


async def forget_outputs(
    state: OutputMemory, gone: Callable[[Collection[bytes]], list[bytes]], before_ns: int
) -> None:
    """Forget who published what is not there any more; ``gone`` says what is not, and blocks."""
    loop, looked, is_end = asyncio.get_running_loop(), 0, False
    while looked < OUTPUTS_MAX and not is_end:
        found, is_end = await state.orphans(before_ns)
        looked += CHUNK_ROWS
        missing = set(await loop.run_in_executor(None, gone, [each.path for each in found])) if found else ()
        if missing:
            await state.forget_outputs([each for each in found if each.path in missing])


def pinned(parts: Parts) -> int | None:
    """Return the oldest offset that somebody still needs, None if nobody needs any."""
    needed = [trigger.since for trigger in parts.registry.triggers.values() if trigger.paused]
    size = parts.log.size()
    if needed and size > PINNED_SHARE * parts.settings.log.retention_bytes:
        logger.warning(
            "a paused trigger needs the log from record %d on, but the log fills more than half of its "
            "room: it is no longer kept for it. Resume the trigger, or raise log.retention_bytes",
            min(needed),
        )
        needed = []
    needed += behind(parts.state).values()
    needed += [waiting.offset for waiting in parts.keeper.backlog.values()]
    needed += [active.run.offset for active in parts.keeper.active.values()]
    return min(needed, default=None)


def _old_logs(folder: Path, before_s: float) -> int:
    count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.stat().st_mtime < before_s:
                path.unlink(missing_ok=True)
                count += 1
    return count
