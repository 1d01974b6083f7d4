"""Where benchmarks work: a folder on the checkout's disk, and its processes, all gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rows import Failed

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache"
IN_MEMORY = ("tmpfs", "ramfs")


@contextmanager
def ground() -> Iterator[Path]:
    """Give an empty folder on the file system of the checkout, and remove it.

    Raises:
        Failed: That file system is in memory, where a sync costs nothing and figures mean nothing.
    """
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=CACHE))
    try:
        kind = file_system(folder)
        if kind in IN_MEMORY:
            raise Failed(f"{folder} is on {kind}; put the checkout on a disk")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_system(folder: Path) -> str:
    """Return the type of the file system that ``folder`` is on."""
    kinds = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split(" ")
        kinds[place] = kind
    places = [str(place) for place in (folder, *folder.parents) if str(place) in kinds]
    return kinds[places[0]] if places else "unknown"


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text()
            for child in children.split():
                found += tree(int(child))
    except OSError:
        pass  # it has ended meanwhile
    return found


def memory_bytes(pid: int) -> int:
    """Return the memory of a process tree, what is shared counted once (the sum of PSS)."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def processor_s(pid: int) -> float:
    """Return how long the threads of a process tree have been on a processor, in seconds."""
    total = 0
    for each in tree(pid):
        try:
            for thread in os.listdir(f"/proc/{each}/task"):
                total += int(Path(f"/proc/{each}/task/{thread}/schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9
