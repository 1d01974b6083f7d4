"""Why a filter wants an event, or why not: in sentences, for people."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from penstock.core.cesql import compile_cesql
from penstock.core.event import FileRecord
from penstock.core.filter.predicate import compile_filter
from penstock.core.filter.terms import All, Any, Exact, Filter, Glob, Not, Number, Prefix, Sql, Suffix
from penstock.core.filter.view import View, reader

SHOWN_CHARS_MAX = 120


class Explanation(Struct, frozen=True):
    """What one node of a filter makes of an event.

    Attributes:
        holds: Whether it wants the event.
        sentence: What the event has and what the filter wants.
        parts: The same for what it is made of.
    """

    holds: bool
    sentence: str
    parts: tuple[Explanation, ...] = ()

    def failures(self) -> list[str]:
        """Return a sentence for each condition that failed and mattered; none if it holds."""
        if self.holds:
            return []
        return [told for part in self.parts for told in part.failures()] or [self.sentence]

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Yield the whole tree, one line each, failures marked with ``✗``."""
        yield f"{'  ' * depth}{'✓' if self.holds else '✗'} {self.sentence}"
        for part in self.parts:
            yield from part.lines(depth + 1)


def explain(filter: Filter, view: View) -> Explanation:
    """Return why ``filter`` wants the event or not."""
    match filter:
        case All(()):
            return Explanation(True, "the filter wants every event")
        case All(filters):
            parts = tuple(explain(part, view) for part in filters)
            return Explanation(all(part.holds for part in parts), "all of these:", parts)
        case Any(filters):
            parts = tuple(explain(part, view) for part in filters)
            return Explanation(any(part.holds for part in parts), "at least one of these:", parts)
        case Not(inner):
            return _not(explain(inner, view))
        case Sql(text):
            return _sql(text, view)
        case _:
            have = _shown(reader(filter.field)(view)) + _hint(filter.field, view)
            sentence = f"{filter.field} is {have}, the filter wants {_wanted(filter)}"
            return Explanation(compile_filter(filter)(view), sentence)


def _not(inner: Explanation) -> Explanation:
    """Below a ``not`` no single part is to blame, so that one sentence tells the whole."""
    if inner.parts:
        told = "; ".join(_flat(inner))
        return Explanation(not inner.holds, f"the filter wants anything but {inner.sentence} {told}")
    sentence = inner.sentence.replace("the filter wants", "the filter wants anything but")
    return Explanation(not inner.holds, sentence)


def _flat(explanation: Explanation) -> Iterator[str]:
    for part in explanation.parts:
        yield part.sentence if part.holds else f"{part.sentence} (which fails)"
        yield from _flat(part)


def _sql(text: str, view: View) -> Explanation:
    expression = compile_cesql(text)
    value, fault, message = expression.outcome(view.lookup)
    gave = f"failed: {message}" if fault else f"is {_shown(value)}"
    inputs = ", ".join(f"{name} is {_shown(view.lookup(name))}" for name in sorted(expression.attributes))
    sentence = f"the CESQL expression {_shown(text)} {gave}" + (f"; {inputs}" if inputs else "")
    return Explanation(value is True and fault is None, sentence)


def _wanted(filter: Exact | Prefix | Suffix | Glob | Number) -> str:
    match filter:
        case Exact(_, text):
            return _shown(text)
        case Prefix(_, text):
            return f"it to start with {_shown(text)}"
        case Suffix(_, text):
            return f"it to end with {_shown(text)}"
        case Glob(_, pattern):
            return f"it to match {_shown(pattern)}"
        case Number(_, bounds):
            return " and ".join(f"{order} {bound}" for order, bound in bounds)


def _shown(value: object) -> str:
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, int | float) else repr(value)
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 3] + "..."


def _hint(field: str, view: View) -> str:
    """Say so where somebody wrote ``size`` and meant ``data.size``."""
    if field in FileRecord.__struct_fields__ and field != "path" and view.attribute(field) is None:
        return f" (did you mean data.{field}?)"
    return ""
