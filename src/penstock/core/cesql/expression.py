"""Expressions ready for use, and what can be told of them without an event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from penstock.core.cesql import functions, like
from penstock.core.cesql.evaluation import Lookup, compiled, complaint
from penstock.core.cesql.syntax import (
    Attribute,
    Binary,
    Call,
    Exists,
    In,
    Like,
    Literal,
    Logic,
    Node,
    Unary,
    parse,
)
from penstock.core.cesql.values import Fault, FaultKind, Value

ALWAYS_TEXT = frozenset({"id", "source", "type", "subject", "partitionkey"})
"""Attributes whose value is a string in every event."""


class Outcome(NamedTuple):
    """What an evaluation gave: a value always, and what went wrong, if anything."""

    value: Value
    fault: FaultKind | None = None
    message: str = ""


class Condition(NamedTuple):
    """Something that must hold wherever the expression holds; for indexes.

    ``kind`` is ``exact``, ``prefix`` or ``suffix``; ``attribute`` is one of ``ALWAYS_TEXT``.
    """

    kind: str
    attribute: str
    text: str


class Expression:
    """A compiled expression.

    Attributes:
        text: As it was written.
        attributes: Every identifier in it.
        unknown_functions: What is wrong with calls that no function answers; such a call is false
            with an error, so a filter should refuse them.
        conditions: What must hold wherever it holds.
    """

    __slots__ = ("_evaluate", "_root", "_zero", "attributes", "conditions", "text", "unknown_functions")

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        nodes = list(_walk(root))
        self.attributes = frozenset(node.name for node in nodes if isinstance(node, Attribute | Exists))
        self.unknown_functions = tuple(complaint(node) for node in nodes if _is_unknown(node))
        self.conditions = tuple(_conditions(root))
        self._root = root
        self._evaluate, returns = compiled(root)
        self._zero: Value = (returns or bool)()

    def outcome(self, lookup: Lookup) -> Outcome:
        """Return the value and the error, if there is one; the first error ends the evaluation."""
        try:
            return Outcome(self._evaluate(lookup))
        except Fault as fault:
            return Outcome(fault.value if fault.raiser is self._root else self._zero, fault.kind, str(fault))

    def value(self, lookup: Lookup) -> Value:
        """Return the value; with an error, the zero value of its type (false, 0 or an empty string)."""
        return self.outcome(lookup).value

    def holds(self, lookup: Lookup) -> bool:
        """Whether it is the boolean true, and no error arose: what a filter or a condition asks."""
        try:
            return self._evaluate(lookup) is True
        except Fault:
            return False


def compile_cesql(text: str) -> Expression:
    """Return the expression ``text``, ready to be evaluated.

    Raises:
        Invalid: It is no CESQL; the message has the position (from 1) and what was expected.
    """
    return Expression(text, parse(text))


def _walk(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(_children(node))


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Unary(_, operand) | Like(operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Logic(first, rest):
            return (first, *(operand for _, operand in rest))
        case In(operand, members):
            return (operand, *members)
        case Call(_, arguments):
            return arguments
    return ()


def _is_unknown(node: Node) -> bool:
    return isinstance(node, Call) and functions.find(node.name, len(node.arguments)) is None


def _conditions(node: Node) -> Iterator[Condition]:
    match node:
        case Logic(first, rest) if all(word == "AND" for word, _ in rest):
            for part in (first, *(operand for _, operand in rest)):
                yield from _conditions(part)
        case Binary("=", Attribute(name), Literal(str() as text)) if name in ALWAYS_TEXT:
            yield Condition("exact", name, text)
        case Like(Attribute(name), pattern, False) if name in ALWAYS_TEXT:
            yield from _like_conditions(name, pattern)


def _like_conditions(name: str, pattern: str) -> Iterator[Condition]:
    if text := like.literal_text(pattern):
        yield Condition("exact", name, text)
    elif text := like.starts_with(pattern):
        yield Condition("prefix", name, text)
    elif text := like.ends_with(pattern):
        yield Condition("suffix", name, text)
