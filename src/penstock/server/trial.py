"""``penstock test``: a file of definitions tried out on one input, without an engine.

The code is copied as a deployment would copy it, so that a file that was not named is missed here already.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from penstock.core.policy import LOCAL_TENANT
from penstock.functions import bundle
from penstock.functions.child import Lines, ignore
from penstock.functions.local import select, try_out
from penstock.functions.outcome import Outcome
from penstock.server.deploy import prepare
from penstock.server.settings import Places


def trial(
    file: Path,
    given: Path,
    places: Places,
    *,
    name: str | None = None,
    root: Path | None = None,
    keep: Path | None = None,
    params: dict[str, Any] | None = None,
    wheels: Path | None = None,
    progress: Lines = ignore,
    on_line: Lines = ignore,
) -> Outcome:
    """Try the function or workflow ``name`` of ``file`` out on the file ``given``. Blocks until it has ended.

    Args:
        file: Python or YAML.
        given: The input.
        places: Only the cache of environments is used.
        name: Needed where the file defines several things.
        root: Of the storage, for where outputs would go; default: the input's folder.
        keep: Empty or new folder for the outputs; default: a temporary one that is removed.
        params: What a person would give at a manual start.
        wheels: Folder of packages to use instead of the network.
        progress: Gets a line for each thing that takes time before the call.
        on_line: Gets what the calls print, line by line.

    Raises:
        Invalid: The file, the input or the name is wrong.
        Unavailable: Packages cannot be reached, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-trial-") as data:
        here = replace(places, data=Path(data))
        try:
            deployment = prepare(
                file,
                here,
                tenant=LOCAL_TENANT,
                principal="",
                wheels=wheels,
                progress=progress,
                on_line=ignore,  # what the file prints is heard when its functions are called
            )
            chosen = select(deployment.functions, deployment.workflows, name)
            return try_out(
                deployment.functions, chosen, given, root=root, keep=keep, params=params, on_line=on_line
            )
        finally:
            bundle.remove(Path(data) / "functions")
