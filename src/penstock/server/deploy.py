"""From a user's file to a deployment that an engine can take: described, locked, built, copied.

This runs in the process of who deploys, with their rights: importing a user's file is running it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from penstock.core.function import Function, Kind
from penstock.functions import bundle
from penstock.functions.child import Lines, ignore
from penstock.functions.description import describe
from penstock.functions.environment import Environment, ensure
from penstock.server.settings import Places
from penstock.workflows.definitions import read
from penstock.workflows.deployment import Deployment


def prepare(
    file: Path,
    places: Places,
    *,
    tenant: str,
    principal: str,
    wheels: Path | None = None,
    progress: Lines = ignore,
    on_line: Lines | None = None,
) -> Deployment:
    """Return what ``file`` defines, its code copied and its environments built. May block for minutes.

    Args:
        file: A Python or YAML file.
        places: Where code and environments are kept.
        tenant: Whose the definitions will be.
        principal: Who deploys.
        wheels: Folder of packages to use instead of the network.
        progress: Told what is being done, a line at a time.
        on_line: Gets what tools and the file itself say meanwhile; default: ``progress``.

    Raises:
        Invalid: The file is wrong; every fault is named with its place.
        Unavailable: Packages cannot be reached, or the disk is full.
    """
    environments: dict[Path, Environment] = {}

    def described(script: Path) -> dict[str, Any]:
        environment = ensure(script, places.cache / "environments", wheels, progress, on_line=on_line)
        environments[script.resolve()] = environment
        return describe(script, environment.python, on_line=on_line or progress).document

    progress(f"{file.name}: reading")
    deployment = read(file, tenant, principal, described)
    folder = Path(deployment.file).parent
    placed = tuple(
        _placed(function, folder, deployment.files.get(function.name, ()), environments, places)
        for function in deployment.functions
    )
    return replace(deployment, functions=placed)


def _placed(
    function: Function,
    folder: Path,
    files: tuple[str, ...],
    environments: dict[Path, Environment],
    places: Places,
) -> Function:
    environment = Environment(python="")
    if function.kind is Kind.PYTHON:
        script = (folder / function.entry.rsplit(":", 1)[0]).resolve()
        environment = environments[script]
    copy = bundle.make(places.data, function, folder, files, environment.lock)
    return bundle.placed(function, copy, environment.python)
