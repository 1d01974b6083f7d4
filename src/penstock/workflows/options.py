"""Options of a definition: read one by one, all faults collected, unknown ones named."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

from penstock.core.errors import Invalid
from penstock.core.function import parse_size
from penstock.workflows.draft import Draft

TEXT_CHARACTERS_MAX = 64 << 10


class Options:
    """Reads the options of one draft. A wrong one adds a fault and yields the default."""

    def __init__(
        self, draft: Draft, faults: list[str], values: dict[str, Any] | None = None, within: str = ""
    ) -> None:
        self._draft = draft
        self._faults = faults
        self._values = draft.options if values is None else values
        self._within = within

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return name in self._values

    def is_text(self, name: str) -> bool:
        """Whether the option was given as a text."""
        return isinstance(self._values.get(name), str)

    def only(self, *known: str) -> None:
        """Add a fault for each option that is not ``known``."""
        for name in self._values:
            if name not in known:
                self.fault("", f"unknown option {self._within}{name!r}; {suggestion(name, known)}")

    def text(self, name: str, default: str = "") -> str:
        """Return a text that is not empty."""
        value = self._values.get(name, default)
        if name not in self._values or (isinstance(value, str) and 0 < len(value) <= TEXT_CHARACTERS_MAX):
            return str(value)
        self.fault(name, f"is {shown(value)}; expected a text")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean."""
        value = self._values.get(name, default)
        if isinstance(value, bool):
            return value
        self.fault(name, f"is {shown(value)}; expected true or false")
        return default

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer from ``least`` to ``most``."""
        if name not in self._values:
            return default
        value = self._values[name]
        if _is_number(value) and float(value).is_integer() and least <= value <= most:
            return int(value)
        self.fault(name, f"is {shown(value)}; expected a whole number from {least} to {most}")
        return default

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """Return a number from ``least`` to ``most``."""
        value = self._values.get(name, default)
        if _is_number(value) and least <= value <= most:
            return float(value)
        self.fault(name, f"is {shown(value)}; expected a number from {least:g} to {most:g}")
        return default

    def size(self, name: str, default: int) -> int:
        """Return a size in bytes, at least one."""
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int):
            self.fault(name, f"is {shown(value)}; expected a size such as '512MiB' or a number of bytes")
            return default
        try:
            size = parse_size(value)
        except Invalid as error:
            self.fault(name, str(error))
            return default
        if 1 <= size < 1 << 60:
            return size
        self.fault(name, f"is {shown(value)}; expected at least one byte and less than 2^60")
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts that are not empty."""
        value = self._values.get(name, [])
        if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
            return tuple(value)
        self.fault(name, f"is {shown(value)}; expected a list of texts")
        return ()

    def part(self, name: str) -> Options | None:
        """Return the options in a nested mapping, or None if it was not given."""
        if name not in self._values:
            return None
        value = self._values[name]
        if isinstance(value, dict):
            return Options(self._draft, self._faults, value, f"{name}.")
        self.fault(name, f"is {shown(value)}; expected a mapping of options")
        return None

    def fault(self, name: str, message: str) -> None:
        """Add a fault of the option ``name``."""
        self._faults.append(self._draft.fault(message, f"{self._within}{name}" if name else ""))


def shown(value: Any) -> str:
    """Return ``value`` for a message, shortened."""
    if isinstance(value, dict) and list(value) == ["not JSON"]:
        return f"a {value['not JSON']}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean …`` if one of ``known`` resembles ``name``, else what is known."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(known)}" if known else "there are none"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
