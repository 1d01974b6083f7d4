"""Times as text and back, to the microsecond and without rounding up.

A record's time as it is shown never lies behind the record, so that asking from there on finds it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def shown(posix_ns: int) -> str:
    """Return a time as RFC 3339 in UTC."""
    moment = _EPOCH + timedelta(microseconds=posix_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def when(posix_ns: int) -> str | None:
    """Return a time as text; None for 0."""
    return shown(posix_ns) if posix_ns else None


def posix_ns(text: str) -> int:
    """Return what an RFC 3339 time means, never below 0.

    Raises:
        ValueError: It is none, or has no time zone.
    """
    # A "+" in a query string stands for a space.
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return max(0, (moment - _EPOCH) // _MICROSECOND * 1000)
