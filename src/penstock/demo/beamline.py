"""A beamline that writes files the way beamlines do, and says what it does.

Every way ends in the same bytes; what differs is what the storage sees of it:

============ ===================================================================================
in pieces    one file, opened once, written bit by bit, closed
renamed      written under a temporary name, then renamed to its own
closed twice written and closed, then opened for writing and closed again without a change
truncated    half of it, closed as if that were all; ``repair`` writes it whole later
============ ===================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from penstock.demo.data import DataFile, Role

PIECES = 12
PAUSE_S = 0.06

Tell = Callable[[str], None]
Pause = Callable[[float], None]


class Way(StrEnum):
    """How a file arrives."""

    IN_PIECES = "in pieces"
    """Opened once, written bit by bit, closed."""
    RENAMED = "renamed"
    """Written under a temporary name, then renamed."""
    CLOSED_TWICE = "closed twice"
    """Closed, opened for writing, closed again unchanged."""
    TRUNCATED = "truncated"
    """Half of it, as if that were all."""


@dataclass(frozen=True, kw_only=True)
class Drop:
    """One file that the beamline will write: its name, how it arrives, and whose bytes it has."""

    name: str
    way: Way
    source: Path


def plan(files: Sequence[DataFile]) -> tuple[Drop, ...]:
    """Return what will be written, in order: each raw file its own way, and a truncated copy of the first."""
    raw = [file for file in files if file.role is Role.RAW]
    ways = (Way.IN_PIECES, Way.RENAMED, Way.CLOSED_TWICE)
    drops = [Drop(name=file.name, way=way, source=file.path) for file, way in zip(raw, ways, strict=True)]
    first = drops[0]
    copy = f"{Path(first.name).stem}_interrupted{Path(first.name).suffix}"
    return (*drops, Drop(name=copy, way=Way.TRUNCATED, source=first.source))


def perform(drop: Drop, folder: Path, tell: Tell, pause: Pause = time.sleep) -> Path:
    """Write one file into ``folder`` its way, and return its path. Blocks; about a second.

    Args:
        drop: What to write.
        folder: Where to; made if it is not there.
        tell: Told each thing that is done, as a line.
        pause: Waits so many seconds between the pieces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / drop.name
    content = drop.source.read_bytes()
    ways = {
        Way.IN_PIECES: _in_pieces,
        Way.RENAMED: _renamed,
        Way.CLOSED_TWICE: _closed_twice,
        Way.TRUNCATED: _truncated,
    }
    ways[drop.way](target, content, tell, pause)
    return target


def repair(drop: Drop, folder: Path, tell: Tell, pause: Pause = time.sleep) -> Path:
    """Write a truncated file again, whole, over what is there, and return its path. Blocks."""
    target = folder / drop.name
    content = drop.source.read_bytes()
    tell(f"{drop.name}: written again, whole: {len(content):,} bytes")
    _write(target, content, pause)
    return target


def _in_pieces(target: Path, content: bytes, tell: Tell, pause: Pause) -> None:
    tell(f"{target.name}: opened, {len(content):,} bytes in {PIECES} pieces")
    _write(target, content, pause)
    tell(f"{target.name}: closed")


def _renamed(target: Path, content: bytes, tell: Tell, pause: Pause) -> None:
    temporary = target.with_name(f".{target.name}.part")
    tell(f"{target.name}: written as {temporary.name}")
    _write(temporary, content, pause)
    temporary.rename(target)
    tell(f"{target.name}: renamed from {temporary.name}")


def _closed_twice(target: Path, content: bytes, tell: Tell, pause: Pause) -> None:
    _write(target, content, pause)
    tell(f"{target.name}: closed")
    pause(PAUSE_S)
    with target.open("r+b"):
        pass
    tell(f"{target.name}: opened for writing and closed again, unchanged")


def _truncated(target: Path, content: bytes, tell: Tell, pause: Pause) -> None:
    half = content[: len(content) // 2]
    _write(target, half, pause)
    tell(f"{target.name}: interrupted: closed after {len(half):,} of {len(content):,} bytes")


def _write(target: Path, content: bytes, pause: Pause) -> None:
    size = -(-len(content) // PIECES)
    with target.open("wb") as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            file.flush()
            pause(PAUSE_S)
