"""Dead letters."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from penstock.core.rows import DeadLetter
from penstock.server.api.shapes.fields import filled
from penstock.server.api.times import when


class LetterSummary(Struct, kw_only=True):
    """A dead letter in a list."""

    id: str
    kind: str
    subject: str
    reason: str
    run: str
    state: str
    at: str | None


class LetterView(Struct, kw_only=True):
    """A dead letter; ``event`` is what it holds where that is JSON, else ``text``."""

    letter: LetterSummary
    event: Any
    text: str


class LetterPage(Struct, kw_only=True):
    """Dead letters, newest first; ``next`` goes on as ``before``."""

    dead_letters: list[LetterSummary]
    next: str | None


def letter_summary(row: DeadLetter) -> LetterSummary:
    """Return a dead letter for a list."""
    return filled(LetterSummary, row, at=when(row.at_ns))
