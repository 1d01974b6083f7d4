"""Filter documents (JSON) into filters, with every fault at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any as Json

from penstock.core.cesql import compile_cesql
from penstock.core.errors import Invalid
from penstock.core.filter import glob
from penstock.core.filter.predicate import ORDERS
from penstock.core.filter.terms import (
    EVERYTHING,
    All,
    Any,
    Exact,
    Filter,
    Glob,
    Not,
    Number,
    Prefix,
    Sql,
    Suffix,
)
from penstock.core.filter.view import DATA

DEPTH_MAX = 16
"""Deepest nesting of all, any and not."""
NODES_MAX = 1000
"""Most conditions in one filter."""
TEXT_CHARS_MAX = 4096
"""Longest value, in characters."""
MEMBERS_MAX = 16
"""Most dots in ``data.<member>``."""
FAULTS_MAX = 50
"""Faults told at once."""

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")
_DIALECTS = "exact, prefix, suffix, glob, number, all, any, not or sql"


def parse(document: Json) -> Filter:
    """Return the filter that ``document`` describes; None, ``{}`` and ``[]`` want everything.

    A list means that all its filters want the event, and so do several dialects in one object.

    Raises:
        Invalid: The document is no filter; ``error.faults`` has every fault with its place, a JSON
            pointer.
    """
    if document is None or document in ({}, []):
        return EVERYTHING
    reading = _Reading()
    parts = reading.several(document, "", 0) if isinstance(document, list) else [reading.one(document, "", 0)]
    if reading.faults:
        raise Invalid("the filter has faults:", tuple(reading.faults))
    return _together(parts)


def _together(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


class _Reading:
    """One pass over a document; faults pile up in ``faults``."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._nodes = 0

    def one(self, document: Json, place: str, depth: int) -> Filter:
        if not isinstance(document, dict):
            return self._fault(place, f'expected an object such as {{"exact": …}}, not {_shown(document)}')
        if not document:
            return self._fault(place, f"the filter is empty; expected {_DIALECTS}")
        if depth > DEPTH_MAX:
            return self._fault(place, f"nested deeper than {DEPTH_MAX}")
        parts = []
        for dialect, body in document.items():
            parts.extend(self._dialect(dialect, body, f"{place}/{_escaped(dialect)}", depth))
        return _together(parts)

    def several(self, documents: Json, place: str, depth: int) -> list[Filter]:
        if not isinstance(documents, list) or not documents:
            return [self._fault(place, f"expected a list of at least one filter, not {_shown(documents)}")]
        if not self._count(len(documents), place):
            return []
        return [self.one(part, f"{place}/{index}", depth) for index, part in enumerate(documents)]

    def _dialect(self, dialect: Json, body: Json, place: str, depth: int) -> list[Filter]:
        match dialect:
            case "all":
                return [All(tuple(self.several(body, place, depth + 1)))]
            case "any":
                return [Any(tuple(self.several(body, place, depth + 1)))]
            case "not":
                return [Not(self.one(body, place, depth + 1))]
            case "sql":
                return [self._sql(body, place)]
        read = _FIELD_DIALECTS.get(dialect)
        if read is None:
            return [self._fault(place, f"there is no dialect {_shown(dialect)}; expected {_DIALECTS}")]
        return self._fields(body, place, read)

    def _fields(self, body: Json, place: str, read: _FieldReader) -> list[Filter]:
        if not isinstance(body, dict) or not body:
            return [self._fault(place, f"expected an object from fields to values, not {_shown(body)}")]
        if not self._count(len(body), place):
            return []
        return [
            self._field(field, wanted, f"{place}/{_escaped(field)}", read) for field, wanted in body.items()
        ]

    def _field(self, field: Json, wanted: Json, place: str, read: _FieldReader) -> Filter:
        trouble = _field_fault(field)
        if trouble:
            return self._fault(place, trouble)
        try:
            return read(field, wanted)
        except Invalid as error:
            return self._fault(place, str(error))

    def _sql(self, text: Json, place: str) -> Filter:
        if not isinstance(text, str):
            return self._fault(place, f"expected a CESQL expression as text, not {_shown(text)}")
        if not self._count(1, place):
            return EVERYTHING
        try:
            expression = compile_cesql(text)
        except Invalid as error:
            return self._fault(place, str(error))
        for trouble in expression.unknown_functions:
            self._fault(place, f"CESQL: {trouble}")
        return Sql(text)

    def _count(self, nodes: int, place: str) -> bool:
        before, self._nodes = self._nodes, self._nodes + nodes
        if before <= NODES_MAX < self._nodes:
            self._fault(place, f"the filter has more than {NODES_MAX} conditions; split it into several")
        return self._nodes <= NODES_MAX

    def _fault(self, place: str, message: str) -> Filter:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(f"{place or '/'}: {message}")
        return EVERYTHING


def _exact(field: str, wanted: Json) -> Filter:
    if isinstance(wanted, bool):
        return Exact(field, "true" if wanted else "false")
    if isinstance(wanted, int):
        return Exact(field, _text(str(wanted) if wanted.bit_length() <= 64 else "x" * (TEXT_CHARS_MAX + 1)))
    return Exact(field, _text(wanted))


def _number(field: str, wanted: Json) -> Filter:
    if not isinstance(wanted, dict) or not wanted:
        raise Invalid(f'expected bounds such as {{">=": 1000}}, not {_shown(wanted)}')
    bounds = [(_order(order), _bound(bound)) for order, bound in wanted.items()]
    return Number(field, tuple(sorted(bounds)))


def _order(order: Json) -> str:
    if order == "=":
        return "=="
    if order not in ORDERS:
        raise Invalid(f"there is no comparison {_shown(order)}; expected {' '.join(ORDERS)}")
    return str(order)


def _bound(bound: Json) -> int | float:
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not _finite(bound):
        raise Invalid(f"expected a number, not {_shown(bound)}")
    return bound


def _finite(number: int | float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else number.bit_length() <= 1000


def _glob(field: str, pattern: Json) -> Filter:
    text = _text(pattern)
    glob.tokens(text)
    return Glob(field, text)


def _text(wanted: Json) -> str:
    if not isinstance(wanted, str):
        hint = "; for numbers use the dialect 'number'" if isinstance(wanted, int | float) else ""
        raise Invalid(f"expected a text, not {_shown(wanted)}{hint}")
    if not 0 < len(wanted) <= TEXT_CHARS_MAX:
        raise Invalid(f"expected a text of 1 to {TEXT_CHARS_MAX} characters, not of {len(wanted)}")
    return wanted


_FieldReader = Callable[[str, Json], Filter]
_FIELD_DIALECTS: dict[Json, _FieldReader] = {
    "exact": _exact,
    "prefix": lambda field, wanted: Prefix(field, _text(wanted)),
    "suffix": lambda field, wanted: Suffix(field, _text(wanted)),
    "glob": _glob,
    "number": _number,
}


def _field_fault(field: Json) -> str | None:
    if not isinstance(field, str):
        return f"the name of a field is a text, not {_shown(field)}"
    if field.startswith(DATA):
        members = field.removeprefix(DATA).split(".")
        if not all(members) or len(members) > MEMBERS_MAX:
            return f"{_shown(field)}: expected data.<member>, 1 to {MEMBERS_MAX} names joined by dots"
        return None
    if _ATTRIBUTE.fullmatch(field) and field not in ("data", "database64"):
        return None
    return (
        f"there can be no attribute {_shown(field)}: names are lower-case letters and digits; "
        "expected an attribute such as type, or path, or data.<member> such as data.size"
    )


def _shown(value: Json) -> str:
    text = repr(value) if isinstance(value, str | bool | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _escaped(name: Json) -> str:
    return str(name)[:80].replace("~", "~0").replace("/", "~1")
