"""File systems that tests mount and unmount; skipped where that is not allowed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A disk of its own (kept mounted elsewhere) that is at ``folder``, or not.

    Attributes:
        folder: Where it is mounted.
        inside: A way to its files that is always there.
    """

    def __init__(self, folder: Path, inside: Path) -> None:
        self.folder = folder
        self.inside = inside

    def mount(self) -> None:
        """Put it there."""
        _mount("--bind", str(self.inside), str(self.folder))

    def unmount(self) -> None:
        """Take it away; who has files of it open keeps them."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@contextmanager
def disk(folder: Path, elsewhere: Path) -> Iterator[Disk]:
    """Mount an empty disk at ``folder``; ``elsewhere`` is where it is kept."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    elsewhere.mkdir()
    folder.mkdir(exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", "size=16m", "penstock-test", str(elsewhere))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"nothing can be mounted here: {error.stderr}")
    try:
        inside = elsewhere / "files"
        inside.mkdir()
        mounted = Disk(folder, inside)
        mounted.mount()
        yield mounted
    finally:
        while os.path.ismount(folder):
            mounted.unmount()
        subprocess.run(["umount", "--lazy", str(elsewhere)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
