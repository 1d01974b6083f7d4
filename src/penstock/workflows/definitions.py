"""From a user's file, Python or YAML, to checked definitions: ``read``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.core.errors import Invalid
from penstock.workflows.assembly import assembled
from penstock.workflows.deployment import Deployment
from penstock.workflows.draft import Document
from penstock.workflows.python_file import document_of
from penstock.workflows.yaml_file import document_in

SUFFIXES = (".py", ".yaml", ".yml")
FILE_BYTES_MAX = 1 << 20

Describe = Callable[[Path], dict[str, Any]]
"""Tells what a Python file defines, as ``functions.describe`` writes it; raises ``Invalid``. Blocks."""


def read(path: Path, tenant: str, principal: str, describe: Describe) -> Deployment:
    """Return the definitions in ``path``, checked, with all defaults filled in. Blocks while it is described.

    Args:
        path: A Python file with decorated functions, or a YAML file.
        tenant: Whose they will be; the first half of every name.
        principal: Who deploys them; runs act for them.
        describe: Called for each Python file.

    Raises:
        Invalid: Something in it is wrong; ``faults`` has all that is, each with its place.
    """
    _check_file(path)
    faults: list[str] = []
    document = _document(path.resolve(), describe, faults)
    deployment = assembled(document, path.resolve(), tenant, principal, faults)
    if faults:
        raise Invalid(f"{path.name} cannot be deployed:", tuple(faults))
    return deployment


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise Invalid(f"{path}: no such file")
    if path.suffix not in SUFFIXES:
        raise Invalid(f"{path}: expected a Python file (.py) or a YAML file (.yaml, .yml)")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise Invalid(f"{path}: {path.stat().st_size} bytes; definitions may have {FILE_BYTES_MAX}")


def _document(path: Path, describe: Describe, faults: list[str]) -> Document:
    if path.suffix == ".py":
        return document_of(path, describe(path))
    return document_in(path, describe, faults)
