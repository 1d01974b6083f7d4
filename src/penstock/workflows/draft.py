"""Definitions as they were written, before any check: the same for Python and YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One function, workflow, step or trigger as written; nothing in it is checked.

    Attributes:
        kind: ``function``, ``workflow``, ``step`` or ``trigger``.
        name: What it is called.
        place: Where it is written, such as ``scan.py:12``.
        options: What was said about it.
        places: Where single options are written, if that is known; members of them as ``retry/attempts``.
        parts: The steps of a workflow.
        entry: ``file.py:attribute`` of a Python function.
        files: Files of the definition's folder that a function's code consists of, or patterns of such.
        flaw: What is wrong with a function's signature; empty if nothing is.
    """

    kind: str
    name: str
    place: str
    options: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)
    parts: tuple[Draft, ...] = ()
    entry: str = ""
    files: tuple[str, ...] = ()
    flaw: str = ""

    def fault(self, message: str, option: str = "") -> str:
        """Return ``message`` with the place and the name of what is at fault before it."""
        place = self._nearest(option.replace(".", "/"))
        named = f"{option} {message}" if option else message
        return f"{place}: {self.kind} {self.name!r}: {named}"

    def fault_within(self, option: str, pointer: str, message: str) -> str:
        """The same for what is at the JSON ``pointer`` in ``option``."""
        where = f"{option}{pointer.rstrip('/')}"
        return f"{self._nearest(where)}: {self.kind} {self.name!r}: {where}: {message}"

    def _nearest(self, where: str) -> str:
        while where and where not in self.places:
            where = where.rpartition("/")[0]
        return self.places.get(where, self.place)


@dataclass(frozen=True, kw_only=True)
class Document:
    """All that one file defines, as written."""

    functions: tuple[Draft, ...] = ()
    workflows: tuple[Draft, ...] = ()
    triggers: tuple[Draft, ...] = ()
