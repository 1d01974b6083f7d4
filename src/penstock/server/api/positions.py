"""Places in the log as people give them: an offset, or a time."""

from __future__ import annotations

from penstock.core.errors import Invalid
from penstock.server.api.desk import Desk
from penstock.server.api.times import posix_ns

DIGITS_MAX = 18


async def position(desk: Desk, text: str, default: int, name: str) -> int:
    """Return the offset that ``text`` means, at most the log's end.

    Args:
        desk: Has the log.
        text: An offset, or an RFC 3339 time; empty means ``default``.
        default: Used without text.
        name: Of the parameter, for messages.

    Raises:
        Invalid: It is neither.
    """
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
        return min(int(text), desk.tail.end)
    try:
        moment_ns = posix_ns(text)
    except (ValueError, OverflowError) as error:
        raise _wrong(name, text) from error
    return min(await desk.history.offset_at(moment_ns), desk.tail.end)


def moment(text: str) -> int:
    """Return the POSIX nanoseconds of an RFC 3339 time; 0 for everything else."""
    try:
        return 0 if text.isdigit() else posix_ns(text)
    except (ValueError, OverflowError):
        return 0


def _wrong(name: str, text: str) -> Invalid:
    return Invalid(
        f"{name!r} is {text[:80]!r}; expected an offset of the log, or a time such as 2026-11-21T09:00:00Z"
    )
