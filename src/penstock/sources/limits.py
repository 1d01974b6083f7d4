"""The kernel's limits on watching, for ``penstock doctor`` and for messages."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

LIMITS = Path("/proc/sys/fs/inotify")


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was checked: whether it ``holds``, and what to do if not."""

    name: str
    holds: bool
    message: str


def raise_watches(folders: int) -> str:
    """Return the command that raises the limit of watches so that ``folders`` fit well."""
    wanted = max(524_288, 2 * folders)
    return (
        f"sudo sysctl fs.inotify.max_user_watches={wanted} "
        f"(for good: echo fs.inotify.max_user_watches={wanted} | sudo tee /etc/sysctl.d/60-penstock.conf)"
    )


def check_limits(folder: Path, limits: Path = LIMITS) -> list[Finding]:
    """Count the folders below ``folder`` and compare with what this user may watch. Blocks on the disk.

    Args:
        folder: What is, or is to be, watched.
        limits: Where the kernel tells its limits.
    """
    count, unreadable = _count(os.fsencode(folder))
    watches = _limit(limits, "max_user_watches")
    instances = _limit(limits, "max_user_instances")
    queue = _limit(limits, "max_queued_events")
    return [
        Finding(
            name="watches",
            holds=count < watches,
            message=f"{count} folders below {folder}, {watches} watches allowed"
            + ("" if count < watches else f"; raise it: {raise_watches(count)}"),
        ),
        Finding(
            name="instances",
            holds=instances >= 2,
            message=f"{instances} inotify instances allowed per user"
            + ("" if instances >= 2 else "; raise it: sudo sysctl fs.inotify.max_user_instances=1024"),
        ),
        Finding(
            name="queue",
            holds=queue >= 4096,
            message=f"{queue} notices may wait in the kernel before a rescan is needed"
            + ("" if queue >= 4096 else "; raise it: sudo sysctl fs.inotify.max_queued_events=16384"),
        ),
        Finding(
            name="readable",
            holds=not unreadable,
            message="all folders can be read"
            if not unreadable
            else f"{len(unreadable)} folders cannot be read, the first is {unreadable[0]}; "
            "let this user read them (setfacl -m u:USER:rx), or ignore them",
        ),
    ]


def _count(folder: bytes) -> tuple[int, list[str]]:
    unreadable: list[str] = []
    found = os.walk(folder, onerror=lambda error: unreadable.append(os.fsdecode(error.filename)))
    return sum(1 for _ in found) + len(unreadable), unreadable


def _limit(limits: Path, name: str) -> int:
    try:
        return int((limits / name).read_text())
    except (OSError, ValueError):
        return 0
