"""Patterns of ``LIKE``: ``%`` is any text, ``_`` one character, ``\\`` takes either literally."""

from __future__ import annotations

import re
from collections.abc import Callable

_PIECE = re.compile(r"\\[%_]|%+|_|[^%_\\]+|\\", re.DOTALL)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether a text has the shape of ``pattern``; linear in both."""
    literal = literal_text(pattern)
    if literal is not None:
        return literal.__eq__
    if (start := starts_with(pattern)) is not None:
        return lambda text: text.startswith(start)
    if (end := ends_with(pattern)) is not None:
        return lambda text: text.endswith(end)
    matches = re.compile(_expression(pattern), re.DOTALL).match
    return lambda text: matches(text) is not None


def literal_text(pattern: str) -> str | None:
    """Return the only text that ``pattern`` has the shape of, or None if there are several."""
    pieces = _PIECE.findall(pattern)
    if any(piece[0] in "%_" for piece in pieces):
        return None
    return "".join(piece[1:] if len(piece) == 2 and piece[1] in "%_" else piece for piece in pieces)


def starts_with(pattern: str) -> str | None:
    """Return ``x`` if ``pattern`` is ``x%`` and ``x`` is literal."""
    pieces = _PIECE.findall(pattern)
    if not pieces or pieces[-1][0] != "%":
        return None
    return literal_text("".join(pieces[:-1]))


def ends_with(pattern: str) -> str | None:
    """Return ``x`` if ``pattern`` is ``%x`` and ``x`` is literal."""
    return literal_text(pattern.lstrip("%")) if pattern.startswith("%") else None


def _expression(pattern: str) -> str:
    """Each ``%`` takes the shortest text up to the next literal piece and never reconsiders:
    what follows can always reach further, so nothing is lost, and nothing is tried twice."""
    pieces = ["".join(map(_piece, part)) for part in _parts(pattern)]
    if len(pieces) == 1:
        return pieces[0] + r"\Z"
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1])
    return pieces[0] + middle + f"(?>.*?{pieces[-1]}\\Z)"


def _parts(pattern: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for piece in _PIECE.findall(pattern):
        if piece[0] == "%":
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts


def _piece(piece: str) -> str:
    if piece == "_":
        return "."
    return re.escape(piece[1:] if len(piece) == 2 and piece[0] == "\\" and piece[1] in "%_" else piece)
