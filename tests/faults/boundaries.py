"""An engine that kills itself at one boundary: ``boundaries.py HOME BOUNDARY COUNT``.

The boundary is a method of the product; the process dies right before or after its COUNT-th call.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from penstock.log.embedded import EmbeddedLog
from penstock.server.serve import main
from penstock.server.settings import load, places
from penstock.state.embedded import EmbeddedState
from penstock.storage import moves, publish

BOUNDARIES: dict[str, tuple[Any, str, str]] = {
    "before-append": (EmbeddedLog, "_write_whole", "before"),
    "after-append": (EmbeddedLog, "_write_whole", "after"),
    "after-sync": (EmbeddedLog, "_sync_here", "after"),
    "before-cursor": (EmbeddedState, "_write", "before"),
    "after-cursor": (EmbeddedState, "_write", "after"),
    "before-intent": (publish, "collect", "before"),
    "after-collect": (publish, "collect", "after"),
    "before-move": (publish, "move_all", "before"),
    "in-move": (moves, "sync_names", "before"),
    "after-move": (publish, "move_all", "after"),
    "before-done": (publish.Publisher, "settle", "before"),
    "after-done": (publish.Publisher, "settle", "after"),
}


def arm(boundary: str, count: int) -> None:
    """Make the process kill itself at the ``count``-th crossing of ``boundary``."""
    owner, name, when = BOUNDARIES[boundary]
    original: Callable[..., Any] = getattr(owner, name)
    crossings = itertools.count(1)

    def armed(*args: Any, **options: Any) -> Any:
        mine = next(crossings)  # some of these run in several threads
        if mine == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*args, **options)
        if mine == count and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, armed)


if __name__ == "__main__":
    arm(sys.argv[2], int(sys.argv[3]))
    where = places(sys.argv[1])
    sys.exit(main(load(where.config), where, api=False))
