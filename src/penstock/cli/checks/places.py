"""The folders that Penstock keeps things in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from penstock.cli import wording
from penstock.cli.checks.finding import FAILS, HOLDS, NOTE, Finding
from penstock.server.settings import Places
from penstock.sources.filesystems import FileSystems

FREE_LEAST = 256 << 20
FREE_WISE = 2 << 30
SOCKET_BYTES_MAX = 107
"""Longest path of a Unix socket, see unix(7)."""


def findings(places: Places) -> Iterator[Finding]:
    """Yield what there is to say about the folders."""
    for name in ("data", "state", "cache", "runtime"):
        folder: Path = getattr(places, name)
        yield _writable(name, folder)
    yield from (_free(name, getattr(places, name)) for name in ("state", "cache"))
    yield from _file_systems(places)
    yield socket(places.runtime / "engine.sock")


def _present(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _writable(name: str, folder: Path) -> Finding:
    present = _present(folder)
    if not present.is_dir():
        return Finding(
            f"folder {name}", FAILS, f"{present} is a file", f"move it away, {folder} is to be there"
        )
    if not os.access(present, os.W_OK | os.X_OK):
        words = f"{folder} cannot be written: {present} belongs to another user or is read-only"
        return Finding(f"folder {name}", FAILS, words, "change its permissions, or choose another --home")
    return Finding(f"folder {name}", HOLDS, str(folder))


def _free(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(_present(folder)).free
    words = f"{wording.size(free)} are free for {folder}"
    if free < FREE_LEAST:
        return Finding(f"disk {name}", FAILS, words, "make room; Penstock waits when the disk is full")
    if free < FREE_WISE:
        return Finding(f"disk {name}", NOTE, words, "make room, or keep it elsewhere: --home DIR")
    return Finding(f"disk {name}", HOLDS, words)


def _file_systems(places: Places) -> Iterator[Finding]:
    systems = FileSystems()
    for name, why in (
        ("state", "locks and syncs of the database cannot be trusted there"),
        ("runtime", "a socket there is not reached from elsewhere, but its name is in the way"),
    ):
        folder: Path = getattr(places, name)
        kind = systems.type_at(os.fsencode(_present(folder)))
        if systems.is_foreign(kind):
            remedy = "keep it on a local disk: --home DIR, or XDG_STATE_HOME and XDG_RUNTIME_DIR"
            yield Finding(f"file system {name}", FAILS, f"{folder} is on {kind}: {why}", remedy)
        else:
            yield Finding(f"file system {name}", HOLDS, f"{folder} is on {kind}")


def socket(path: Path) -> Finding:
    """Return whether a socket can have this path."""
    size = len(os.fsencode(path))
    words = f"{path} has {size} bytes, {SOCKET_BYTES_MAX} are allowed for a socket"
    if size > SOCKET_BYTES_MAX:
        return Finding("socket", FAILS, words, "choose a shorter --home, or set XDG_RUNTIME_DIR")
    return Finding("socket", HOLDS, words)
