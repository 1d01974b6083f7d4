"""Values of CESQL (string, integer, boolean), their casts, and what can go wrong with them."""

from __future__ import annotations

import re
from enum import StrEnum

Value = str | int | bool

INTEGER_MIN = -(1 << 31)
INTEGER_MAX = (1 << 31) - 1

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DIGITS_MAX = 32


class FaultKind(StrEnum):
    """The error types of the specification that an evaluation may raise (parsing raises ``Invalid``)."""

    MATH = "math"
    """Division by zero, or a result that does not fit into 32 bits."""
    CAST = "cast"
    """A value cannot be read as the type that an operator or function wants."""
    MISSING_ATTRIBUTE = "missingAttribute"
    """The event has no such attribute."""
    MISSING_FUNCTION = "missingFunction"
    """No function has this name and number of arguments."""
    FUNCTION = "functionEvaluation"
    """A function was given an argument it cannot work with."""


class Fault(Exception):
    """An evaluation that ended early; never leaves this package.

    Attributes:
        kind: What went wrong.
        value: What the operator or function at fault is worth all the same.
        raiser: The function call at fault, if it was one.
    """

    def __init__(self, kind: FaultKind, message: str, value: Value) -> None:
        super().__init__(message)
        self.kind = kind
        self.value = value
        self.raiser: object = None


def to_integer(value: Value) -> int:
    """Return ``value`` as an integer, or raise a cast fault."""
    kind = type(value)
    if kind is int:
        return value  # type: ignore[return-value]
    if kind is bool:
        return 1 if value else 0
    text = str(value)
    if len(text) <= _DIGITS_MAX and _INTEGER.fullmatch(text):
        number = int(text)
        if INTEGER_MIN <= number <= INTEGER_MAX:
            return number
    raise Fault(FaultKind.CAST, f"{_shown(value)} is no integer of 32 bits", 0)


def to_boolean(value: Value) -> bool:
    """Return ``value`` as a boolean, or raise a cast fault."""
    kind = type(value)
    if kind is bool:
        return value  # type: ignore[return-value]
    if kind is int:
        return value != 0
    lowered = str(value).lower()
    if lowered == "true":
        return True
    if lowered == "false":
        return False
    raise Fault(FaultKind.CAST, f"{_shown(value)} is neither 'true' nor 'false'", False)


def to_string(value: Value) -> str:
    """Return ``value`` as a string; there is one for every value."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is bool:
        return "true" if value else "false"
    return str(value)


def within_range(number: int, what: str) -> int:
    """Return ``number`` if it fits into 32 bits, or raise a math fault."""
    if INTEGER_MIN <= number <= INTEGER_MAX:
        return number
    raise Fault(FaultKind.MATH, f"the result of {what} does not fit into 32 bits", 0)


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
