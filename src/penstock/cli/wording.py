"""How values read to people: local time, MiB, short ids, states with a symbol beside the colour."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from urllib.parse import unquote

from rich.cells import cell_len

ID_CHARS = 10
"""Shown of an id; commands take any prefix that only one has."""

STATES: dict[str, tuple[str, str]] = {
    # state: (symbol, colour)
    "succeeded": ("✓", "green"),
    "matched": ("✓", "green"),
    "wanted": ("✓", "green"),
    "not wanted": ("✗", "default"),
    "holds": ("✓", "green"),
    "running": ("▶", "cyan"),
    "retrying": ("↻", "yellow"),
    "waiting": ("…", "yellow"),
    "queued": ("…", "yellow"),
    "submitted": ("…", "yellow"),
    "held": ("‖", "yellow"),
    "paused": ("‖", "yellow"),
    "active": ("▶", "green"),
    "proven": ("✓", "green"),
    "heard": ("✓", "green"),
    "silent": ("‖", "yellow"),
    "failed": ("✗", "red"),
    "evicted": ("✗", "red"),
    "refused": ("✗", "red"),
    "loop": ("✗", "red"),
    "fails": ("✗", "red"),
    "open": ("✗", "red"),
    "cancelled": ("■", "magenta"),
    "skipped": ("↷", "dim"),
    "dropped": ("■", "dim"),
    "replayed": ("↻", "green"),
    "superseded": ("✓", "dim"),
    "duplicate": ("=", "dim"),
    "stopped": ("■", "yellow"),
    "undeployed": ("■", "dim"),
    "note": ("!", "yellow"),
}


def state(name: str) -> tuple[str, str]:
    """Return ``✓ succeeded`` and its colour."""
    symbol, colour = STATES.get(name, ("·", "default"))
    return f"{symbol} {name}", colour


def short(name: str) -> str:
    """Return an id's beginning: of ``storage:digest`` the digest's."""
    return name.rsplit(":", 1)[-1][:ID_CHARS]


def moment(when: str | None) -> str:
    """Return an RFC 3339 time in the local zone, without the date if it is today's."""
    if not when:
        return ""
    try:
        local = datetime.fromisoformat(when).astimezone()
    except ValueError:
        return when
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def span(start: str | None, end: str | None) -> str:
    """Return how long it took from one RFC 3339 time to another; empty while it runs."""
    if not (start and end):
        return ""
    return duration((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def duration(seconds: float) -> str:
    """Return seconds as ``12 ms``, ``3.4 s``, ``2 min 5 s`` or ``3 h 10 min``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"


def size(size_bytes: int | None) -> str:
    """Return bytes in B, KiB, MiB or GiB."""
    if size_bytes is None:
        return ""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def path(subject: str | None) -> str:
    """Return the path that a subject stands for, so that it can be printed."""
    return printable(unquote(subject or "", errors="replace"))


def near(path: str) -> str:
    """Return a path as seen from here, if that is shorter."""
    seen = os.path.relpath(path)
    return seen if not seen.startswith("..") else path


def shortened(text: str, width: int) -> str:
    """Return a name or path that is at most ``width`` wide: its middle is left out, its end is kept.

    A path is cut at slashes where that can be.
    """
    if cell_len(text) <= width:
        return text
    if width < 3:
        return "…"[:width]
    name = len(text) - text.rfind("/")
    tail = text[-max(width - 1 - width // 4, name if name < width else 0) :]
    slash = tail.find("/")
    if 0 < slash < len(tail) - 1:
        tail = tail[slash:]
    head = text[: width - 1 - len(tail)]
    if "/" in head:
        head = head[: head.rfind("/") + 1].removeprefix("/" if head.rfind("/") == 0 else "")
    while cell_len(f"{head}…{tail}") > width:  # characters that take two cells
        head, tail = head[:-1], tail[1:]
    return f"{head}…{tail}"


def headline(text: str) -> str:
    """Return the first line; with the second, if the first only announces it (``… it printed last:``)."""
    first, _, rest = text.partition("\n")
    return f"{first} {rest.partition(chr(10))[0].strip()}" if first.endswith(":") else first


def printable(text: str) -> str:
    """Return text with control characters (newlines in names) and undecodable bytes made visible."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
