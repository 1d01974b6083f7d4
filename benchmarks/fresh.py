"""W6: from nothing to the first run of one's own function, the packages being in a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ground import CACHE, ROOT, ground
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.sizes import Sizes

WHOLE_MOST_S, FIRST_MOST_S = 60.0, 10.0
WAIT_S = 60.0
WHEELS = CACHE / "wheels"


def run(_sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of W6."""
    with ground() as place:
        tick("filling the package cache")
        wheel = _wheel(place / "dist")
        tick("from nothing to the first run")
        machine = _Machine(place)
        try:
            begun = time.monotonic()
            machine.install(wheel)
            installed = time.monotonic()
            machine.first_run()
            ended = time.monotonic()
        finally:
            machine.stop()
    whole, first = ended - begun, ended - installed
    note = "packages from a local folder: environment, installation, init, serve, deploy, a file's result"
    yield row("w6.fresh", whole, "s", target=WHOLE_MOST_S, holds=whole < WHOLE_MOST_S, note=note)
    note = "init, serve, deploy, a file's result"
    yield row("w6.first_event", first, "s", target=FIRST_MOST_S, holds=first < FIRST_MOST_S, note=note)


class _Machine:
    """A person's machine: an empty home, and nothing of Penstock on the path.

    Args:
        place: Where it all is.
    """

    def __init__(self, place: Path) -> None:
        self._environment = place / "venv"
        self._work = place / "work"
        self._variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(place / "home"),
            "PENSTOCK_HOME": str(place / "penstock"),
            "PENSTOCK_PORT": "0",
            "LANG": os.environ.get("LANG", "C.UTF-8"),
        }

    def install(self, wheel: Path) -> None:
        """Make an environment and install the wheel."""
        _call([getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(self._environment)])
        quiet = ["--quiet", "--disable-pip-version-check", "--no-index", "--find-links", str(WHEELS)]
        _call([str(self._environment / "bin" / "pip"), "install", *quiet, str(wheel)])

    def first_run(self) -> None:
        """Do what a newcomer does, and wait for the result."""
        self._penstock("init", str(self._work))
        self._penstock("serve", "--detach")
        self._penstock("deploy", str(self._work / "function.py"))
        shutil.copy(self._work / "sample.txt", self._work / "data" / "first.txt")
        deadline = time.monotonic() + WAIT_S
        while not list((self._work / "data" / "derived").glob("first.*")):
            if time.monotonic() > deadline:
                raise Failed("the first function gave no result")
            time.sleep(0.01)

    def stop(self) -> None:
        """End what runs, if it runs."""
        program = self._environment / "bin" / "penstock"
        if program.exists():
            subprocess.run([program, "stop"], env=self._variables, capture_output=True, check=False)

    def _penstock(self, *arguments: str) -> None:
        _call([str(self._environment / "bin" / "penstock"), *arguments], self._variables)


def _wheel(folder: Path) -> Path:
    """Return the built wheel of this checkout, with what it needs in the cache."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    locked = ["--require-hashes", "-r", str(ROOT / "locks" / "run.txt")]
    _call([*pip, "download", *locked, "--find-links", str(WHEELS), "--dest", str(WHEELS)])
    _call([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)])
    return next(folder.glob("penstock-*.whl"))


def _call(command: list[str], variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
