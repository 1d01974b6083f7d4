"""Filters made ready to be asked: nested Python functions, built once per filter.

No text is ever executed, so nothing that a user writes can become code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from penstock.core.cesql import compile_cesql
from penstock.core.filter import glob
from penstock.core.filter.terms import All, Any, Exact, Filter, Glob, Not, Number, Prefix, Sql, Suffix
from penstock.core.filter.view import View, numbers_of, reader, text_of, texts_of

Predicate = Callable[[View], bool]

ORDERS: dict[str, Callable[[int | float, int | float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
"""The comparisons of ``number``."""


def compile_filter(filter: Filter) -> Predicate:
    """Return the function that says whether ``filter`` wants the event of a view. It never raises."""
    match filter:
        case All(filters):
            return _conjunction([compile_filter(part) for part in filters])
        case Any(filters):
            return _disjunction([compile_filter(part) for part in filters])
        case Not(inner):
            wants = compile_filter(inner)
            return lambda view: not wants(view)
        case Number(field, bounds):
            return _number(field, bounds)
        case Sql(text):
            holds = compile_cesql(text).holds
            return lambda view: holds(view.lookup)
        case Exact(field, _) | Prefix(field, _) | Suffix(field, _) | Glob(field, _):
            return _text(field, text_test(filter))
    raise AssertionError(filter)


def text_test(filter: Exact | Prefix | Suffix | Glob) -> Callable[[str], bool]:
    """Return what such a filter asks of a field's text."""
    match filter:
        case Exact(_, text):
            return text.__eq__
        case Prefix(_, text):
            return lambda have: have.startswith(text)
        case Suffix(_, text):
            return lambda have: have.endswith(text)
        case Glob(_, pattern):
            return glob.matcher(pattern)


def within(number: int | float, bounds: tuple[tuple[str, int | float], ...]) -> bool:
    """Whether ``number`` is within all ``bounds``."""
    for order, bound in bounds:  # noqa: SIM110 - all() with a generator takes twice the time
        if not ORDERS[order](number, bound):
            return False
    return True


def _conjunction(parts: list[Predicate]) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def conjunction(view: View) -> bool:
        for part in parts:  # noqa: SIM110 - all() with a generator takes twice the time
            if not part(view):
                return False
        return True

    return conjunction


def _disjunction(parts: list[Predicate]) -> Predicate:
    def disjunction(view: View) -> bool:
        for part in parts:  # noqa: SIM110 - any() with a generator takes twice the time
            if part(view):
                return True
        return False

    return disjunction


def _text(field: str, test: Callable[[str], bool]) -> Predicate:
    read = reader(field)

    def wants(view: View) -> bool:
        value = read(view)
        if type(value) is str:
            return test(value)
        if type(value) is list:
            return any(map(test, texts_of(value)))
        text = text_of(value)
        return text is not None and test(text)

    return wants


def _number(field: str, bounds: tuple[tuple[str, int | float], ...]) -> Predicate:
    read = reader(field)
    tests = [(ORDERS[order], bound) for order, bound in bounds]

    def wants(view: View) -> bool:
        value = read(view)
        if type(value) is int or type(value) is float:
            for test, bound in tests:  # noqa: SIM110 - all() with a generator takes twice the time
                if not test(value, bound):
                    return False
            return True
        return value is not None and any(within(number, bounds) for number in numbers_of(value))

    return wants
