"""The writer: closes files in a folder at a steady rate. Floors and product get the same."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

CONTENT = b"x" * 100


def write(folder: Path, names: Iterable[str], rate: float = 0.0, open_s: float = 0.0) -> dict[str, int]:
    """Write files and return when each was closed, in nanoseconds of the monotonic clock.

    The time is taken right before ``close``, so that what is measured includes the call itself.

    Args:
        folder: Where to.
        names: Of the files.
        rate: Files a second; 0 for as fast as it goes.
        open_s: How long each file stays open after it was written, in seconds.
    """
    closed = {}
    due = time.monotonic()
    for name in names:
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(file, CONTENT)
        if open_s:
            time.sleep(open_s)
        closed[name] = time.monotonic_ns()
        os.close(file)
        if rate:
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
    return closed
