"""The command line as a person uses it: as processes, in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 60.0


class Console:
    """Runs ``penstock`` in ``folder`` with a home of its own.

    Args:
        folder: Working folder.
        home: Everything of the installation is below it.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_HOME": str(home),
            "PENSTOCK_PORT": "0",
            "COLUMNS": "120",
        }

    def run(self, *words: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command to its end and assert its exit code."""
        ended = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert ended.returncode == code, f"{words}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def __call__(self, *words: str, code: int = 0) -> str:
        """Return what a command printed as data."""
        return self.run(*words, code=code).stdout

    def errors(self, *words: str, code: int = 0) -> str:
        """Return what a command printed beside its data."""
        return self.run(*words, code=code).stderr

    def json(self, *words: str) -> list[Any]:
        """Return the objects that a command prints with ``--json``."""
        return [json.loads(line) for line in self(*words, "--json").splitlines()]

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command that does not end by itself."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *words: str) -> list[str]:
        """Return a command line."""
        return [sys.executable, "-m", "penstock", *words]
