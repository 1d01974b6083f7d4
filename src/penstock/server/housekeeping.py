"""What is removed, and when. Stated rules, no clock of its own.

================================ ==========================================================
log segments                     older than ``log.retention_s``, or all together larger than
                                 ``log.retention_bytes``; not what runs and catching-up triggers need,
                                 nor what a paused trigger has not seen, up to ``PINNED_SHARE`` of that
ended runs and what is theirs    ended longer ago than ``history_s``, and no open dead letter needs them
closed dead letters, decisions   older than ``history_s``
seen event ids                   their event has left the log
log files of workers and jobs    not written to for ``history_s``
scratch of an earlier life       at the next start, after recovery
================================ ==========================================================

It is looked at at every start, and each time a log segment is full.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from time import time, time_ns

from penstock.server.backfill import behind
from penstock.server.parts import Parts

logger = logging.getLogger("penstock.housekeeping")
PINNED_SHARE = 0.5


async def tidy(parts: Parts) -> None:
    """Remove what the rules above let go."""
    first = parts.log.retain(pinned(parts))
    history_s = parts.settings.history_s
    await parts.state.forget(ended_before_ns=time_ns() - int(history_s * 1e9), offset_before=first)
    loop = asyncio.get_running_loop()
    removed = await loop.run_in_executor(None, _old_logs, parts.places.state / "logs", time() - history_s)
    if removed:
        logger.info("removed %d log files of functions, unused for %.0f days", removed, history_s / 86400)


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
