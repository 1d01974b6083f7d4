"""Functions: a contract ``JSON object -> JSON object`` with limits and a runtime."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from penstock.core.errors import Invalid

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS |= {f"{_letter}B": 1000**_power, f"{_letter}iB": 1024**_power, _letter: 1024**_power}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?i?B?)\s*")
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,61}[a-z0-9])?")
"""What functions, workflows, steps and triggers may be called."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one invocation may use. Crossing any ends it with an error that names the limit.

    Attributes:
        timeout_s: Wall time, in seconds.
        memory_bytes: Of the whole process tree of the invocation.
        processes: Live at once, the worker's own included.
        log_bytes: Written to standard output and error together.
        file_bytes: Written to the output folder altogether.
        cores: For batch queues; a warm worker shares the machine.
        network: Whether it may open TCP connections.
    """

    timeout_s: float = 60.0
    memory_bytes: int = 1 << 30
    processes: int = 64
    log_bytes: int = 10 << 20
    file_bytes: int = 10 << 30
    cores: int = 1
    network: bool = False


class Kind(StrEnum):
    """How a function's code is run."""

    PYTHON = "python"
    """A function in a Python file, called in a warm worker."""
    COMMAND = "command"
    """Any program: the JSON object on standard input, the answer on the last line of standard output."""


CALLS_AT_ONCE = 64
"""Most calls at once of a function that says nothing."""


class Function(Struct, frozen=True, kw_only=True):
    """One version of a deployed function.

    Attributes:
        tenant: Who owns it.
        name: ``namespace/name`` without the version.
        version: From 1, given at deploy time.
        kind: How its code runs.
        code: Absolute folder of the deployed, read-only copy of its code.
        entry: ``file.py:attribute`` in that folder, for Python.
        command: Program and arguments, for a command.
        python: Interpreter of its isolated environment; empty for Penstock's own.
        outputs: Template of the published paths; see ``core.template``.
        concurrency: Most invocations at once; 0 where nothing is said: ``CALLS_AT_ONCE`` in workers, and
            as many jobs as the batch system takes.
        limits: What one invocation may use.
        source_digest: Digest of code and lock; equal digest, equal version.
        summary: First line of the documentation, for people.
    """

    tenant: str
    name: str
    version: int
    kind: Kind = Kind.PYTHON
    code: str = ""
    entry: str = ""
    command: tuple[str, ...] = ()
    python: str = ""
    outputs: str = ""
    concurrency: int = 0
    limits: Limits = Limits()
    source_digest: str = ""
    summary: str = ""

    @property
    def reference(self) -> str:
        """``namespace/name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def calls_at_once(self) -> int:
        """Most calls at once in warm workers."""
        return self.concurrency or CALLS_AT_ONCE


def parse_size(text: str | int) -> int:
    """Return bytes for ``"512 MiB"``, ``"2GB"`` or a plain number (decimal and binary units).

    Raises:
        Invalid: It is no size.
    """
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise Invalid(f"{text!r} is no size; write for example '512MiB', '2GB' or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2]])


def check_name(what: str, name: str) -> str:
    """Return ``name`` if it may name a ``what``.

    Raises:
        Invalid: It has characters that names may not have.
    """
    if NAME.fullmatch(name) is None:
        raise Invalid(
            f"{what} name {name!r}: use lower-case letters, digits, '.', '_' and '-', at most 63, "
            "with a letter or digit first and last"
        )
    return name
