"""One line on standard error that says how far a benchmark is. It moves between blocks, never within."""

from __future__ import annotations

import sys
import time

WIDTH = 24


class Progress:
    """Where a benchmark stands.

    Args:
        name: Of the benchmark.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = time.monotonic()
        self._shown = sys.stderr.isatty()

    def tick(self, text: str) -> None:
        """Say what comes next: ``3/5 what``, or only what."""
        if not self._shown:
            return
        part, _, what = text.partition(" ")
        done, slash, total = part.partition("/")
        bar = ""
        if slash and done.isdigit() and total.isdigit():
            full = WIDTH * int(done) // int(total)
            bar, text = f"[{'#' * full}{'.' * (WIDTH - full)}] ", what
        seconds = time.monotonic() - self._begun
        sys.stderr.write(f"\r\033[K{self._name} {bar}{text}  {seconds:.0f} s")
        sys.stderr.flush()

    def clear(self) -> None:
        """Wipe the line away."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
