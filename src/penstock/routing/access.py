"""How a filter can be found from an event without asking the filter.

A filter is taken apart into alternatives (any one is enough) of terms (all are needed). Each term
may offer *accesses*: something that must be so in every event it wants, and that an event can be
looked up by. The index files each alternative under one access and checks the other terms.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from penstock.core.cesql import compile_cesql
from penstock.core.filter import All, Any, Exact, Filter, Glob, Not, Number, Prefix, Sql, Suffix
from penstock.core.filter.glob import shape_of, tokens
from penstock.core.filter.view import PATH

ALTERNATIVES_MAX = 16
"""Filters with more alternatives than this are not split but checked where their other terms lead."""

SEGMENTS = "path segments"
"""The names between the slashes of a path; no user's field has a space."""

Bounds = tuple[tuple[str, int | float], ...]
Term = Filter
Terms = tuple[Term, ...]


class Kind(StrEnum):
    """What an access looks up; earlier ones are preferred while they are not crowded."""

    PREFIX = "prefix"
    """The start of a field's text."""
    EXACT = "exact"
    """A field's text."""
    SUFFIX = "suffix"
    """The end of a field's text."""
    RANGE = "range"
    """A number between bounds."""


class Access(NamedTuple):
    """One way to find a term; ``covers`` if nothing is left to check for it."""

    kind: Kind
    field: str
    key: str | Bounds
    term: Term
    covers: bool


_ORDER = {kind: place for place, kind in enumerate(Kind)}


def alternatives(filter: Filter) -> list[Terms]:
    """Return the terms of each alternative of ``filter``; at most ``ALTERNATIVES_MAX`` of them."""
    match filter:
        case All(filters):
            return _product([alternatives(part) for part in filters], filters)
        case Any(filters):
            found = [terms for part in filters for terms in alternatives(part)]
            return found if len(found) <= ALTERNATIVES_MAX else [(filter,)]
        case Not(Not(inner)):
            return alternatives(inner)
    return [(filter,)]


def event_type(terms: Terms) -> str | None:
    """Return the type that every event wanted by ``terms`` has, if there is one."""
    for term in terms:
        if isinstance(term, Exact) and term.field == "type":
            return term.text
    for access in accesses(terms):
        if access.field == "type" and access.kind is Kind.EXACT:
            return str(access.key)
    return None


def accesses(terms: Terms) -> list[Access]:
    """Return the accesses of all ``terms``, the likely most selective ones first."""
    found = [access for term in terms for access in _of_term(term)]
    return found if len(found) < 2 else sorted(found, key=_preference)


def _preference(access: Access) -> tuple[bool, int, bool, int]:
    """By kind, segments last as they cost most; the file before other attributes; longer texts first."""
    on_file = access.field in (PATH, "subject")
    return access.field == SEGMENTS, _ORDER[access.kind], not on_file, -len(access.key)


def _product(factors: list[list[Terms]], filters: tuple[Filter, ...]) -> list[Terms]:
    """Multiply out; a factor that would make it too many stays whole, as one term."""
    found: list[Terms] = [()]
    for factor, whole in zip(factors, filters, strict=True):
        choices = factor if len(found) * len(factor) <= ALTERNATIVES_MAX else [(whole,)]
        found = [(*terms, *more) for terms in found for more in choices]
    return found


def _of_term(term: Term) -> list[Access]:
    match term:
        case Exact(field, text):
            return [Access(Kind.EXACT, field, text, term, True)]
        case Prefix(field, text):
            return [Access(Kind.PREFIX, field, text, term, True)]
        case Suffix(field, text):
            return [Access(Kind.SUFFIX, field, text, term, True)]
        case Number(field, bounds):
            key = _tightest(bounds)
            return [Access(Kind.RANGE, field, key, term, key == bounds)] if key else []
        case Glob(field, pattern):
            return _of_glob(term, field, pattern)
        case Sql(text):
            return [
                Access(Kind(kind), name, key, term, False)
                for kind, name, key in compile_cesql(text).conditions
            ]
    return []


def _tightest(bounds: Bounds) -> Bounds:
    """Return the point, or at most one lower and one upper bound, that ``bounds`` come down to."""
    points = [pair for pair in bounds if pair[0] == "=="]
    if points:
        return (points[0],)
    lows = sorted((bound, order) for order, bound in bounds if order in (">", ">="))
    highs = sorted((bound, order == "<=", order) for order, bound in bounds if order in ("<", "<="))
    low = [(order, bound) for bound, order in lows if bound == lows[-1][0]][:1]
    return tuple(sorted(low + [(order, bound) for bound, _, order in highs[:1]]))


def _of_glob(term: Term, field: str, pattern: str) -> list[Access]:
    shape = shape_of(tokens(pattern))
    found = []
    if shape.prefix:
        found.append(Access(Kind.PREFIX, field, shape.prefix, term, False))
    if shape.suffix:
        found.append(Access(Kind.SUFFIX, field, shape.suffix, term, False))
    if field == PATH:
        found += [Access(Kind.EXACT, SEGMENTS, name, term, False) for name in shape.folders]
    return found
