"""The command line of a job: its wrapper, told what to run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.core.function import Function, Kind

WRAPPER = Path(__file__).with_name("wrapper.py")
"""The one file that a farm node needs; see its docstring."""


def job_argv(
    function: Function,
    sdk: Path,
    *,
    wrapper: Path = WRAPPER,
    confine: tuple[str, Mapping[str, Any]] | None = None,
) -> tuple[str, ...]:
    """Return the arguments that run one call of ``function`` as a batch job.

    They name neither the job's folder (the wrapper starts in it) nor its memory: that is the job's
    own (``Job.memory_bytes``), which the batch system tells or enforces.

    Args:
        function: What to run.
        sdk: Folder of the ``penstock`` package, as the job sees it; it needs ``__init__.py`` and ``sdk``.
        wrapper: ``wrapper.py`` as the job sees it.
        confine: Name of a module with ``fork()`` and ``enter(plan)``, in the ``penstock`` package or the
            function's environment, and the plan that the function's process enters before any of
            the function's own code; the wrapper adds the job's folders to its ``write``.
    """
    limits = function.limits
    argv = [
        function.python or sys.executable,
        "-I",
        str(wrapper),
        *("--code", function.code),
        *("--sdk", str(sdk)),
        *("--log-bytes", str(limits.log_bytes)),
        *("--file-bytes", str(limits.file_bytes)),
    ]
    if confine is not None:
        argv += ["--confine", confine[0], json.dumps(confine[1])]
    if function.kind is Kind.COMMAND:
        return (*argv, "--", *function.command)
    return (*argv, "--entry", function.entry)
