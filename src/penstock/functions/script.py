"""The block at the top of a function's file (PEP 723): its dependencies, its Python, its files.

::

    # /// script
    # requires-python = ">=3.11"
    # dependencies = ["h5py", "numpy>=2"]
    #
    # [tool.penstock]
    # include = ["tables/*.csv"]
    # ///
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.core.errors import Invalid

_OPEN = re.compile(r"^# /// script[ \t]*$", re.MULTILINE)
_BLOCK = re.compile(r"^# /// script[ \t]*$\n(?P<content>(?:^#(?: .*)?$\n?)+?)^# ///[ \t]*$", re.MULTILINE)
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the block says; all empty if there is none.

    Attributes:
        requires_python: A version specifier such as ``>=3.11``.
        dependencies: Requirements (PEP 508).
        include: Further files of the folder that belong to the function, or patterns of such.
    """

    requires_python: str = ""
    dependencies: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


def read(file: Path) -> Script:
    """Return what the block in ``file`` says.

    Raises:
        Invalid: The block is not closed, stands there twice, is no TOML, or has other types than it may.
    """
    text = file.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    opened = [text.count("\n", 0, match.start()) + 1 for match in _OPEN.finditer(text)]
    if not opened:
        return Script()
    if len(opened) > 1:
        raise Invalid(f"{file.name}:{opened[1]}: a second '# /// script' block; one file has one")
    match = _BLOCK.search(text)
    if match is None:
        raise Invalid(f"{file.name}:{opened[0]}: the '# /// script' block does not end with a line '# ///'")
    content = "\n".join(line[2:] for line in match["content"].splitlines())
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{file.name}:{opened[0]}: the '# /// script' block is not TOML: {error}") from error
    return _checked(f"{file.name}:{opened[0]}", document)


def _checked(place: str, document: dict[str, Any]) -> Script:
    requires = document.get("requires-python", "")
    dependencies = document.get("dependencies", [])
    tools = document.get("tool", {})
    include = tools.get("penstock", {}).get("include", []) if isinstance(tools, dict) else []
    faults = [
        f"{place}: {name!r} must be a list of texts"
        for name, value in (("dependencies", dependencies), ("tool.penstock.include", include))
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value)
    ]
    if not isinstance(requires, str) or (requires and not _is_specifier(requires)):
        faults.append(f"{place}: 'requires-python' is {requires!r}; expected for example '>=3.11'")
    if faults:
        raise Invalid(f"{place}: the '# /// script' block is wrong:", tuple(faults))
    return Script(requires_python=requires, dependencies=tuple(dependencies), include=tuple(include))


def _is_specifier(text: str) -> bool:
    return all(_CLAUSE.fullmatch(clause) for clause in text.split(","))


def satisfies(version: tuple[int, ...], requires: str) -> bool:
    """Whether a ``version`` such as ``(3, 11, 7)`` fulfils a ``requires-python`` that ``read`` took."""
    return not requires or all(_holds(version, clause) for clause in requires.split(","))


def _holds(version: tuple[int, ...], clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    assert match is not None
    wanted = tuple(int(part) for part in match[2].split("."))
    prefix = version[: len(wanted)] == wanted
    width = max(len(version), len(wanted))
    ours, theirs = (each + (0,) * (width - len(each)) for each in (version, wanted))
    return {
        "==": prefix if match[3] else ours == theirs,
        "!=": not (prefix if match[3] else ours == theirs),
        "~=": ours >= theirs and version[: len(wanted) - 1] == wanted[:-1],
        ">=": ours >= theirs,
        "<=": ours <= theirs,
        ">": ours > theirs,
        "<": ours < theirs,
    }[match[1]]
