"""What takes time, told while it is done: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.status import Status

from penstock.cli import wording
from penstock.cli.screen import notes


class Progress:
    """Tells steps as they begin, and how long all took. Use it as a context manager."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._began = 0.0

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if notes().is_terminal:
            self._status = notes().status("…")
            self._status.start()
        return self

    def step(self, words: str) -> None:
        """Tell what is being done now."""
        if self._status is None:
            notes().print(words, soft_wrap=True)
        else:
            self._status.update(f"{words}  {wording.duration(time.monotonic() - self._began)}")

    def line(self, words: str) -> None:
        """Pass on a line that stays, such as what a function printed."""
        notes().print(f"  | {wording.printable(words)}", soft_wrap=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
