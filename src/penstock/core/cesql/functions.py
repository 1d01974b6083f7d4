"""The built-in functions of CESQL, found by name and number of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from penstock.core.cesql.values import (
    INTEGER_MAX,
    INTEGER_MIN,
    Fault,
    FaultKind,
    Value,
    to_boolean,
    to_integer,
    to_string,
)

Cast = Callable[[Value], Value]


class Function(NamedTuple):
    """One function: how its arguments are cast, what it returns, and what it does.

    Attributes:
        casts: One per argument; None leaves an argument as it is.
        rest: The cast of further arguments; None if there may be none.
        returns: The type of its value.
        call: The function itself.
    """

    casts: tuple[Cast | None, ...]
    rest: Cast | None
    returns: type
    call: Callable[..., Any]


def find(name: str, arguments: int) -> Function | None:
    """Return the function called ``name`` (any case) that takes so many arguments."""
    for function in _FUNCTIONS.get(name.upper(), ()):
        fixed = len(function.casts)
        if arguments == fixed or (arguments > fixed and function.rest is not None):
            return function
    return None


def names() -> tuple[str, ...]:
    """Return the names of all functions, sorted."""
    return tuple(sorted(_FUNCTIONS))


def signatures(name: str) -> str:
    """Return for people how many arguments the function takes, or an empty text if there is none."""
    counts = [
        f"{len(function.casts)}{' or more' if function.rest else ''}"
        for function in _FUNCTIONS.get(name.upper(), ())
    ]
    return " or ".join(counts)


def _left(text: str, count: int) -> str:
    if count < 0:
        raise Fault(FaultKind.FUNCTION, f"LEFT wants a count of at least 0, not {count}", text)
    return text[:count]


def _right(text: str, count: int) -> str:
    if count < 0:
        raise Fault(FaultKind.FUNCTION, f"RIGHT wants a count of at least 0, not {count}", text)
    return text[max(0, len(text) - count) :]


def _substring(text: str, position: int, length: int = INTEGER_MAX) -> str:
    if not -len(text) <= position <= len(text):
        raise Fault(
            FaultKind.FUNCTION,
            f"SUBSTRING: position {position} is outside a string of {len(text)} characters",
            "",
        )
    if length < 0:
        raise Fault(FaultKind.FUNCTION, f"SUBSTRING wants a length of at least 0, not {length}", "")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start : start + length]


def _absolute(number: int) -> int:
    if number == INTEGER_MIN:
        raise Fault(FaultKind.MATH, f"ABS({number}) does not fit into 32 bits", INTEGER_MAX)
    return abs(number)


def _is_integer(value: Value) -> bool:
    return _is(value, to_integer)


def _is_boolean(value: Value) -> bool:
    return _is(value, to_boolean)


def _is(value: Value, cast: Cast) -> bool:
    try:
        cast(value)
    except Fault:
        return False
    return True


_text, _number, _truth = to_string, to_integer, to_boolean
_FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "LENGTH": (Function((_text,), None, int, len),),
    "CONCAT": (Function((), _text, str, lambda *parts: "".join(parts)),),
    "CONCAT_WS": (Function((_text,), _text, str, lambda between, *parts: between.join(parts)),),
    "LOWER": (Function((_text,), None, str, str.lower),),
    "UPPER": (Function((_text,), None, str, str.upper),),
    "TRIM": (Function((_text,), None, str, str.strip),),
    "LEFT": (Function((_text, _number), None, str, _left),),
    "RIGHT": (Function((_text, _number), None, str, _right),),
    "SUBSTRING": (
        Function((_text, _number), None, str, _substring),
        Function((_text, _number, _number), None, str, _substring),
    ),
    "ABS": (Function((_number,), None, int, _absolute),),
    "INT": (Function((_number,), None, int, lambda number: number),),
    "BOOL": (Function((_truth,), None, bool, lambda truth: truth),),
    "STRING": (Function((_text,), None, str, lambda text: text),),
    "IS_INT": (Function((None,), None, bool, _is_integer),),
    "IS_BOOL": (Function((None,), None, bool, _is_boolean),),
}
