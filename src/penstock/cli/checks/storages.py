"""The watched folders: their file systems, the kernel's limits on watching, disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from penstock.cli import wording
from penstock.cli.checks.finding import FAILS, HOLDS, NOTE, Finding
from penstock.core.errors import Refused
from penstock.server.settings import Settings, StorageSettings
from penstock.sources.filesystems import FileSystems
from penstock.sources.limits import check_limits

FREE_WISE = 1 << 30


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about each storage."""
    if not settings.storages:
        yield Finding("storages", NOTE, "no folder is watched", "`penstock init` makes one")
    for storage in settings.storages:
        yield from _of(storage)


def _of(storage: StorageSettings) -> Iterator[Finding]:
    name, folder = f"storage {storage.name}", Path(storage.folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        yield Finding(name, FAILS, f"{folder} {what}", f"make it: mkdir -p {folder}, or correct the settings")
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        yield Finding(name, FAILS, f"{folder} cannot be read", "let this user read it: setfacl -m u:USER:rx")
        return
    if not os.access(folder, os.W_OK):
        remedy = "let functions publish elsewhere, or let this user write: setfacl -m u:USER:rwx"
        yield Finding(name, NOTE, f"{folder} cannot be written: nothing can be published in it", remedy)
    yield _file_system(name, folder)
    for found in check_limits(folder):
        words, _, remedy = found.message.partition("; ")
        yield Finding(f"{name}: {found.name}", HOLDS if found.holds else FAILS, words, remedy)
    free = shutil.disk_usage(folder).free
    words = f"{wording.size(free)} are free in {folder}"
    low = free < FREE_WISE
    yield Finding(f"{name}: disk", NOTE if low else HOLDS, words, "make room for results" if low else "")


def _file_system(name: str, folder: Path) -> Finding:
    systems, real = FileSystems(), os.path.realpath(os.fsencode(folder))
    try:
        systems.check(real, lambda _path: False)
    except Refused as error:
        return Finding(f"{name}: file system", FAILS, str(error))
    return Finding(
        f"{name}: file system", HOLDS, f"{folder} is on {systems.type_at(real)}: all writes are told"
    )
