"""Expressions ready for use: the tree turned into nested Python functions, once.

No text is ever executed, so nothing that a user writes can become code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import NamedTuple

from penstock.core.cesql import functions, like
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
from penstock.core.cesql.values import (
    Fault,
    FaultKind,
    Value,
    to_boolean,
    to_integer,
    to_string,
    within_range,
)

Lookup = Callable[[str], Value | None]
"""Gives the value of an attribute, or None if there is none."""

_Evaluate = Callable[[Lookup], Value]

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
        self.unknown_functions = tuple(_complaint(node) for node in nodes if _is_unknown(node))
        self.conditions = tuple(_conditions(root))
        self._root = root
        self._evaluate, returns = _compiled(root)
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


def _complaint(node: Node) -> str:
    assert isinstance(node, Call)
    takes = functions.signatures(node.name)
    if takes:
        return f"{node.name} takes {takes} argument(s), not {len(node.arguments)}"
    return f"there is no function {node.name}; there are {', '.join(functions.names())}"


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


_CASTS: dict[type, Callable[[Value], Value]] = {str: to_string, int: to_integer, bool: to_boolean}


def _compiled(node: Node) -> tuple[_Evaluate, type | None]:
    """Return the function that evaluates ``node``, and the type of its value where it is known."""
    match node:
        case Literal(value):
            return (lambda _: value), type(value)
        case Attribute(name):
            return _attribute(name), None
        case Exists(name):
            return (lambda lookup: lookup(name) is not None), bool
        case Unary("NOT", operand):
            truth = _as(bool, operand)
            return (lambda lookup: not truth(lookup)), bool
        case Unary(_, operand):
            number = _as(int, operand)
            return (lambda lookup: within_range(-number(lookup), "-")), int  # type: ignore[operator]
        case Logic():
            return _logic(node), bool
        case Like():
            return _like(node), bool
        case In():
            return _in(node), bool
        case Call():
            return _call(node)
        case Binary("=" | "!=" | "<>"):
            return _equality(node), bool
        case Binary(symbol) if symbol in _ORDERS:
            return _order(node), bool
        case Binary():
            return _arithmetic(node), int
    raise AssertionError(node)


def _attribute(name: str) -> _Evaluate:
    def attribute(lookup: Lookup) -> Value:
        value = lookup(name)
        if value is None:
            raise Fault(FaultKind.MISSING_ATTRIBUTE, f"the event has no attribute {name!r}", False)
        return value

    return attribute


def _as(wanted: type, node: Node) -> _Evaluate:
    """Return the function that evaluates ``node`` and casts it where that is needed."""
    evaluate, returns = _compiled(node)
    if returns is wanted:
        return evaluate
    cast = _CASTS[wanted]
    return lambda lookup: cast(evaluate(lookup))


def _logic(node: Logic) -> _Evaluate:
    first = _as(bool, node.first)
    rest = [(word, _as(bool, operand)) for word, operand in node.rest]
    words = {word for word, _ in rest}
    parts = (first, *(operand for _, operand in rest))
    if words == {"AND"}:
        return _conjunction(parts)
    if words == {"OR"}:
        return lambda lookup: any(part(lookup) for part in parts)

    def chain(lookup: Lookup) -> Value:
        truth = first(lookup)
        for word, operand in rest:
            if word == "XOR":
                truth = truth is not operand(lookup)
            elif truth is (word == "AND"):
                truth = operand(lookup)
        return truth

    return chain


def _conjunction(parts: tuple[_Evaluate, ...]) -> _Evaluate:
    if len(parts) == 2:
        left, right = parts
        return lambda lookup: left(lookup) and right(lookup)

    def conjunction(lookup: Lookup) -> Value:
        for part in parts:  # noqa: SIM110 - all() with a generator takes twice the time
            if not part(lookup):
                return False
        return True

    return conjunction


def _equality(node: Binary) -> _Evaluate:
    """The right operand's type decides to what the left one is cast."""
    equal = _equal(node)
    if node.operator == "=":
        return equal
    return lambda lookup: not equal(lookup)


def _equal(node: Binary) -> _Evaluate:
    left, _ = _compiled(node.left)
    if isinstance(node.right, Literal):
        return _equal_literal(left, node.right.value)
    right, _ = _compiled(node.right)

    def equal(lookup: Lookup) -> Value:
        value = left(lookup)
        other = right(lookup)
        return _CASTS[type(other)](value) == other

    return equal


def _equal_literal(left: _Evaluate, wanted: Value) -> _Evaluate:
    kind = type(wanted)
    cast = _CASTS[kind]

    def equal(lookup: Lookup) -> Value:
        value = left(lookup)
        return (value if type(value) is kind else cast(value)) == wanted

    return equal


_ORDERS: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _order(node: Binary) -> _Evaluate:
    compare = _ORDERS[node.operator]
    left, right = _as(int, node.left), _as(int, node.right)
    return lambda lookup: compare(left(lookup), right(lookup))


def _arithmetic(node: Binary) -> _Evaluate:
    compute, symbol = _ARITHMETIC[node.operator], node.operator
    left, right = _as(int, node.left), _as(int, node.right)
    return lambda lookup: within_range(compute(left(lookup), right(lookup)), symbol)  # type: ignore[arg-type]


def _quotient(x: int, y: int) -> int:
    """Division rounds towards zero, unlike Python's."""
    if y == 0:
        raise Fault(FaultKind.MATH, f"{x} / 0", 0)
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def _remainder(x: int, y: int) -> int:
    """The remainder has the sign of ``x``, unlike Python's."""
    if y == 0:
        raise Fault(FaultKind.MATH, f"{x} % 0", 0)
    return abs(x) % abs(y) * (-1 if x < 0 else 1)


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": _remainder,
}


def _like(node: Like) -> _Evaluate:
    text, matches = _as(str, node.operand), like.matcher(node.pattern)
    if node.negated:
        return lambda lookup: not matches(text(lookup))  # type: ignore[arg-type]
    return lambda lookup: matches(text(lookup))  # type: ignore[arg-type]


def _in(node: In) -> _Evaluate:
    """The left operand's type decides to what the members are cast."""
    evaluate, _ = _compiled(node.operand)
    members = [_compiled(member)[0] for member in node.members]
    negated = node.negated

    def contains(lookup: Lookup) -> Value:
        value = evaluate(lookup)
        cast = _CASTS[type(value)]
        return any(cast(member(lookup)) == value for member in members) is not negated

    return contains


def _call(node: Call) -> tuple[_Evaluate, type | None]:
    function = functions.find(node.name, len(node.arguments))
    if function is None:
        return _missing_function(node), bool
    further = len(node.arguments) - len(function.casts)
    casts = (*function.casts, *(function.rest,) * further)
    arguments = [
        _compiled(argument)[0] if cast is None else _cast(cast, argument)
        for argument, cast in zip(node.arguments, casts, strict=True)
    ]
    call = function.call

    def calling(lookup: Lookup) -> Value:
        values = [argument(lookup) for argument in arguments]
        try:
            result: Value = call(*values)
        except Fault as fault:
            fault.raiser = node
            raise
        return result

    return calling, function.returns


def _cast(cast: functions.Cast, argument: Node) -> _Evaluate:
    evaluate, _ = _compiled(argument)
    return lambda lookup: cast(evaluate(lookup))


def _missing_function(node: Call) -> _Evaluate:
    message = _complaint(node)

    def missing(_: Lookup) -> Value:
        raise Fault(FaultKind.MISSING_FUNCTION, message, False)

    return missing
