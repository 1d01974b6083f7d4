"""From the tree of an expression to nested Python functions, built once.

No text is ever executed, so nothing that a user writes can become code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from penstock.core.cesql import functions, like
from penstock.core.cesql.syntax import Attribute, Binary, Call, Exists, In, Like, Literal, Logic, Node, Unary
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

Evaluate = Callable[[Lookup], Value]
"""Gives the value of a node, or raises a ``Fault``."""

_CASTS: dict[type, Callable[[Value], Value]] = {str: to_string, int: to_integer, bool: to_boolean}


def compiled(node: Node) -> tuple[Evaluate, type | None]:
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


def _attribute(name: str) -> Evaluate:
    def attribute(lookup: Lookup) -> Value:
        value = lookup(name)
        if value is None:
            raise Fault(FaultKind.MISSING_ATTRIBUTE, f"the event has no attribute {name!r}", False)
        return value

    return attribute


def _as(wanted: type, node: Node) -> Evaluate:
    """Return the function that evaluates ``node`` and casts it where that is needed."""
    evaluate, returns = compiled(node)
    if returns is wanted:
        return evaluate
    cast = _CASTS[wanted]
    return lambda lookup: cast(evaluate(lookup))


def _logic(node: Logic) -> Evaluate:
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


def _conjunction(parts: tuple[Evaluate, ...]) -> Evaluate:
    if len(parts) == 2:
        left, right = parts
        return lambda lookup: left(lookup) and right(lookup)

    def conjunction(lookup: Lookup) -> Value:
        for part in parts:  # noqa: SIM110 - all() with a generator takes twice the time
            if not part(lookup):
                return False
        return True

    return conjunction


def _equality(node: Binary) -> Evaluate:
    """The right operand's type decides to what the left one is cast."""
    equal = _equal(node)
    if node.operator == "=":
        return equal
    return lambda lookup: not equal(lookup)


def _equal(node: Binary) -> Evaluate:
    left, _ = compiled(node.left)
    if isinstance(node.right, Literal):
        return _equal_literal(left, node.right.value)
    right, _ = compiled(node.right)

    def equal(lookup: Lookup) -> Value:
        value = left(lookup)
        other = right(lookup)
        return _CASTS[type(other)](value) == other

    return equal


def _equal_literal(left: Evaluate, wanted: Value) -> Evaluate:
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


def _order(node: Binary) -> Evaluate:
    compare = _ORDERS[node.operator]
    left, right = _as(int, node.left), _as(int, node.right)
    return lambda lookup: compare(left(lookup), right(lookup))


def _arithmetic(node: Binary) -> Evaluate:
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


def _like(node: Like) -> Evaluate:
    text, matches = _as(str, node.operand), like.matcher(node.pattern)
    if node.negated:
        return lambda lookup: not matches(text(lookup))  # type: ignore[arg-type]
    return lambda lookup: matches(text(lookup))  # type: ignore[arg-type]


def _in(node: In) -> Evaluate:
    """The left operand's type decides to what the members are cast."""
    evaluate, _ = compiled(node.operand)
    members = [compiled(member)[0] for member in node.members]
    negated = node.negated

    def contains(lookup: Lookup) -> Value:
        value = evaluate(lookup)
        cast = _CASTS[type(value)]
        return any(cast(member(lookup)) == value for member in members) is not negated

    return contains


def _call(node: Call) -> tuple[Evaluate, type | None]:
    function = functions.find(node.name, len(node.arguments))
    if function is None:
        return _missing_function(node), bool
    further = len(node.arguments) - len(function.casts)
    casts = (*function.casts, *(function.rest,) * further)
    arguments = [
        compiled(argument)[0] if cast is None else _cast(cast, argument)
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


def _cast(cast: functions.Cast, argument: Node) -> Evaluate:
    evaluate, _ = compiled(argument)
    return lambda lookup: cast(evaluate(lookup))


def _missing_function(node: Call) -> Evaluate:
    message = complaint(node)

    def missing(_: Lookup) -> Value:
        raise Fault(FaultKind.MISSING_FUNCTION, message, False)

    return missing


def complaint(node: Node) -> str:
    """Return what is wrong with a call that no function answers."""
    assert isinstance(node, Call)
    takes = functions.signatures(node.name)
    if takes:
        return f"{node.name} takes {takes} argument(s), not {len(node.arguments)}"
    return f"there is no function {node.name}; there are {', '.join(functions.names())}"
