"""From a user's file to something that can be deployed or tried out: environments, definitions, code.

Meets here what the rooms do apart: ``functions`` makes environments and copies code, ``workflows``
reads definitions. Everything blocks; call it outside the event loop.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.core.function import Function, Kind
from penstock.functions import bundle
from penstock.functions.child import Lines, ignore
from penstock.functions.description import describe
from penstock.functions.environment import Environment, ensure
from penstock.workflows.definitions import read
from penstock.workflows.deployment import Deployment


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A file's definitions, checked, with an environment for each Python file.

    Attributes:
        deployment: Without versions; functions have their interpreter, their ``code`` is the file's folder.
        environments: By name of the Python file.
    """

    deployment: Deployment
    environments: dict[str, Environment]


def load(
    file: Path,
    *,
    tenant: str,
    principal: str,
    cache: Path,
    wheels: Path | None = None,
    progress: Lines = ignore,
) -> Loaded:
    """Read ``file``, make the environments that it asks for, and return what it defines.

    Args:
        file: Python or YAML.
        tenant: Whose the definitions will be.
        principal: Who deploys them.
        cache: Folder of environments.
        wheels: Folder of packages to use instead of the network.
        progress: Gets a line for each thing that takes time, and what the file prints.

    Raises:
        Invalid: Something in it is wrong; every fault has its place.
        Unavailable: The package index cannot be reached.
    """
    environments: dict[str, Environment] = {}
    described: dict[Path, dict[str, Any]] = {}

    def describe_once(path: Path) -> dict[str, Any]:
        if path not in described:
            environment = ensure(path, cache, wheels, progress)
            environments[path.name] = environment
            described[path] = describe(path, environment.python, on_line=progress).document
        return described[path]

    deployment = read(file, tenant, principal, describe_once)
    functions = tuple(_in_place(each, file, environments) for each in deployment.functions)
    return Loaded(deployment=replace(deployment, functions=functions), environments=environments)


def _in_place(function: Function, file: Path, environments: dict[str, Environment]) -> Function:
    python = environments[_source(function)].python if function.kind is Kind.PYTHON else ""
    return replace(function, code=str(file.resolve().parent), python=python)


def _source(function: Function) -> str:
    return function.entry.partition(":")[0]


def copied(loaded: Loaded, data: Path) -> Deployment:
    """Return the deployment with each function's code copied below ``data`` (see ``functions.bundle``).

    ``source_digest`` then covers code, lock and all that the definition says: a function whose digest
    is that of the deployed version needs no new version.

    Raises:
        Invalid: A file is not there, leads out of the folder, or all is too large.
        Unavailable: The copy cannot be written.
    """
    deployment = loaded.deployment
    folder = Path(deployment.file).parent
    functions = []
    for function in deployment.functions:
        environment = loaded.environments.get(_source(function))
        lock = environment.lock if environment is not None else ""
        made = bundle.make(data, function, folder, deployment.files[function.name], lock)
        placed = bundle.placed(function, made, function.python)
        functions.append(replace(placed, source_digest=_digest(placed, made.digest)))
    return replace(deployment, functions=tuple(functions))


def _digest(function: Function, code: str) -> str:
    said = msgspec.json.encode(replace(function, source_digest=code, python="", version=0))
    return hashlib.blake2b(said, digest_size=12).hexdigest()
