"""An engine whose power is cut at one boundary: ``power.py HOME BOUNDARY COUNT``.

It dies as ``boundaries.py`` does, and leaves ``HOME/power.json``: how much of each file was on disk by then,
and which names were not. That is kept in mapped memory, which outlives the process, and written by each
sync before anybody is told of it; noting it at the death would let other threads go on meanwhile. ``lose``
makes the folder what such a cut may have left.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.server.serve import main
from penstock.server.settings import load, places
from penstock.state.embedded import EmbeddedState
from penstock.storage import files
from penstock.storage import moves as publication
from penstock.storage.beneath import Folders
from penstock.storage.files import Spot
from tests.faults.boundaries import arm

KEPT_BYTES = 1 << 16


class Power:
    """Remembers what is on disk."""

    def __init__(self, home: Path) -> None:
        with open(home / "power.json", "w+b") as file:
            file.truncate(KEPT_BYTES)
            self._kept = mmap.mmap(file.fileno(), KEPT_BYTES)
        self._lock = threading.Lock()
        self.sizes: dict[str, int] = {}
        self.renamed: list[tuple[str, str]] = []
        self.database = "", 0

    def watch(self) -> None:
        """Listen to every sync and every move into place."""
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._synced(getattr(os, name)))
        rename, sync_names, write = files.rename, publication.sync_names, EmbeddedState._write

        def renamed(source: Spot, target: Spot) -> None:
            if not target.exists:
                self.renamed.append((_path(source), _path(target)))
                self._note()
            rename(source, target)

        def names_synced(folders: Folders, moves: publication.Moves) -> None:
            sync_names(folders, moves)
            targets = {os.fsdecode(target) for _, target in moves}
            self.renamed = [move for move in self.renamed if move[1] not in targets]
            self._note()

        def written(state: EmbeddedState, staged: Any) -> None:
            write(state, staged)
            wal = f"{state.path}-wal"
            self.sizes[wal] = os.path.getsize(wal)
            self.database = str(state.path), os.stat(state.path).st_mtime_ns
            self._note()

        setattr(publication, "rename", renamed)  # noqa: B010 - mypy minds the other way
        publication.sync_names = names_synced
        setattr(EmbeddedState, "_write", written)  # noqa: B010 - mypy minds the other way
        self._note()

    def _synced(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(file: int) -> None:
            path, size = os.readlink(f"/proc/self/fd/{file}"), os.fstat(file).st_size
            real(file)
            if path.endswith(".segment"):
                self.sizes[path] = max(size, self.sizes.get(path, 0))
                self._note()

        return sync

    def _note(self) -> None:
        with self._lock:
            known = {"sizes": self.sizes, "renamed": self.renamed, "database": self.database}
            self._kept[:] = json.dumps(known).encode().ljust(KEPT_BYTES)


def _path(spot: Spot) -> str:
    return os.path.join(os.readlink(f"/proc/self/fd/{spot.folder}"), os.fsdecode(spot.name))


def lose(home: Path, chance: random.Random) -> int:
    """Take away what was not on disk, or leave a part of it in disorder; return how many bytes went."""
    known = json.loads((home / "power.json").read_text())
    lost = 0
    database, touched_ns = known["database"]
    for name, size in known["sizes"].items():
        path = Path(name)
        if name.startswith(f"{database}-") and os.stat(database).st_mtime_ns != touched_ns:
            continue  # SQLite has copied from this write-ahead log meanwhile: it was synced before
        unsynced = path.stat().st_size - size if path.exists() else 0
        if unsynced <= 0:
            continue
        lost += unsynced
        how = chance.choice(["cut", "torn", "zeros", "noise"])
        with open(path, "r+b") as file:
            keep = chance.randrange(unsynced) if how == "torn" else 0
            file.truncate(size + keep)
            if how in ("zeros", "noise"):
                file.seek(size)
                file.write(bytes(unsynced) if how == "zeros" else chance.randbytes(unsynced))
    for source, target in known["renamed"]:
        if os.path.lexists(target):
            os.makedirs(os.path.dirname(source), exist_ok=True)
            os.rename(target, source)
            lost += 1
    return lost


if __name__ == "__main__":
    Power(Path(sys.argv[1])).watch()
    arm(sys.argv[2], int(sys.argv[3]))
    where = places(sys.argv[1])
    sys.exit(main(load(where.config), where, api=False))
