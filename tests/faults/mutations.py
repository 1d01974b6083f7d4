"""An engine with a promise removed: ``mutations.py HOME MUTATION``. What checks the promise must notice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from penstock.core.event import Event
from penstock.core.ports import Record
from penstock.log.embedded import EmbeddedLog
from penstock.server.serve import main
from penstock.server.settings import load, places


def no_sync() -> None:
    """Say that the log is synced without doing so."""

    def pretend(log: EmbeddedLog) -> None:
        log._synced_to(log._next)

    setattr(EmbeddedLog, "_sync_here", pretend)  # noqa: B010 - mypy minds the other way


def late_sync() -> None:
    """Let followers and callers go on before the sync."""

    async def hasty(log: EmbeddedLog, events: Sequence[Event], *, durable: bool = True) -> Sequence[Record]:
        return log.write(events)

    setattr(EmbeddedLog, "append", hasty)  # noqa: B010 - mypy minds the other way


MUTATIONS: dict[str, Callable[[], None]] = {"none": lambda: None, "no-sync": no_sync, "late-sync": late_sync}

if __name__ == "__main__":
    MUTATIONS[sys.argv[2]]()
    where = places(sys.argv[1])
    sys.exit(main(load(where.config), where, api=False))
