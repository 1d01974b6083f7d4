"""The demo's folder: functions to read and edit, a reference, and places for raw and derived data."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.demo.data import DataFile, Role

FUNCTIONS = Path(__file__).parent / "functions"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where things are.

    Attributes:
        root: The storage folder that is watched.
        functions: Copies of the demo's functions; ``scan.py`` is the file to deploy.
    """

    root: Path
    functions: Path

    @property
    def raw(self) -> Path:
        """Where the beamline writes."""
        return self.root / "raw"

    @property
    def workflow(self) -> Path:
        """The file to deploy."""
        return self.functions / "scan.py"

    def page(self, name: str) -> Path:
        """Return where the page of the raw file ``name`` will be."""
        return self.root / "derived" / Path(name).stem / "index.html"


def lay(folder: Path, files: Sequence[DataFile]) -> Workspace:
    """Make the demo's folder and return it. What is there already stays, so that edits survive.

    The functions are copied out of the package, because they are for the person to change, and
    because a deployment takes along the neighbours of a file only outside of our own package.
    """
    workspace = Workspace(root=folder / "data", functions=folder / "functions")
    reference = workspace.root / "reference"
    for each in (workspace.raw, reference, workspace.functions):
        each.mkdir(parents=True, exist_ok=True)
    for source in sorted(FUNCTIONS.glob("*.py")):
        target = workspace.functions / source.name
        if not target.exists():
            shutil.copyfile(source, target)
    for file in files:
        if file.role is Role.REFERENCE and not (reference / file.name).exists():
            shutil.copyfile(file.path, reference / file.name)
    return workspace
