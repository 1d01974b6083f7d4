"""The grammar of CESQL: tokens in, a tree of frozen nodes out.

Precedence, tightest first: function calls; ``NOT`` and ``-``; ``LIKE``, ``EXISTS`` and ``IN``;
``* / %``; ``+ -``; comparisons; ``AND``, ``OR`` and ``XOR``, which are equal among themselves and
go from left to right (sections 2 and 3.6 of the specification).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.core.cesql.tokens import KEYWORDS, Kind, Token, complaint, tokens
from penstock.core.cesql.values import INTEGER_MAX, INTEGER_MIN, Value
from penstock.core.errors import Invalid

DEPTH_MAX = 50
"""Deepest nesting of an expression; chains of AND, OR and XOR do not count."""

LOGIC = ("AND", "OR", "XOR")
COMPARISONS = ("=", "!=", "<>", ">=", "<=", "<", ">")
SIGNS = ("+", "-")
TIGHTNESS = {
    **dict.fromkeys(COMPARISONS, 1),
    **dict.fromkeys(SIGNS, 2),
    **dict.fromkeys(("*", "/", "%"), 3),
}
"""How tightly each binary operator between values binds."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it was written."""

    value: Value


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of an attribute of the event."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the event has an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """``NOT x`` or ``-x``."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or a comparison."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """A chain of AND, OR and XOR, worked off from left to right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Like:
    """Whether a text has the shape of a pattern."""

    operand: Node
    pattern: str
    negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """Whether a value is one of several."""

    operand: Node
    members: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments; whether there is such a function shows later."""

    name: str
    arguments: tuple[Node, ...]


Node = Literal | Attribute | Exists | Unary | Binary | Logic | Like | In | Call


def parse(text: str) -> Node:
    """Return the tree of the expression ``text``.

    Raises:
        Invalid: It is no expression; the message has the position (from 1) and what was expected.
    """
    return _Parser(text).whole()


class _Parser:
    """One pass over the tokens; a method per level of precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._logic()
        if self._token.kind is not Kind.END:
            raise self._unexpected("an operator or the end")
        return node

    def _logic(self) -> Node:
        self._deeper()
        first = self._operation(1)
        rest = []
        while operator := self._accept(Kind.KEYWORD, LOGIC):
            rest.append((operator, self._operation(1)))
        self._depth -= 1
        return Logic(first, tuple(rest)) if rest else first

    def _operation(self, tightness: int) -> Node:
        """Operands joined by operators that bind at least so tightly (precedence climbing)."""
        node = self._test()
        links = 0
        while (token := self._token).kind is Kind.SYMBOL and TIGHTNESS.get(token.text, 0) >= tightness:
            links += 1
            self._deeper()
            self._next += 1
            node = Binary(token.text, node, self._operation(TIGHTNESS[token.text] + 1))
        self._depth -= links
        return node

    def _test(self) -> Node:
        """``x [NOT] LIKE 'pattern'`` and ``x [NOT] IN (…)``, any number of them."""
        node = self._unary()
        links = 0
        while True:
            negated = self._token.text == "NOT" and self._accept(Kind.KEYWORD, ("NOT",)) is not None
            if self._accept(Kind.KEYWORD, ("LIKE",)):
                node = Like(node, self._pattern(), negated)
            elif self._accept(Kind.KEYWORD, ("IN",)):
                node = In(node, self._set(), negated)
            elif negated:
                raise self._unexpected("LIKE or IN")
            else:
                self._depth -= links
                return node
            links += 1
            self._deeper()

    def _unary(self) -> Node:
        if self._accept(Kind.KEYWORD, ("NOT",)):
            return self._prefixed("NOT")
        sign = self._accept(Kind.SYMBOL, SIGNS)
        if sign is None:
            return self._atom()
        if self._token.kind is Kind.INTEGER:
            return self._integer(sign)
        if sign == "+":
            raise self._unexpected("digits after the sign +")
        return self._prefixed("-")

    def _prefixed(self, operator: str) -> Node:
        self._deeper()
        node = Unary(operator, self._unary())
        self._depth -= 1
        return node

    def _atom(self) -> Node:
        token = self._token
        if token.kind is Kind.INTEGER:
            return self._integer("")
        if token.kind is Kind.STRING:
            self._next += 1
            return Literal(token.text)
        if truth := self._accept(Kind.KEYWORD, ("TRUE", "FALSE")):
            return Literal(truth == "TRUE")
        if self._accept(Kind.KEYWORD, ("EXISTS",)):
            return Exists(_attribute_name(self._name()))
        if self._accept(Kind.SYMBOL, ("(",)):
            node = self._logic()
            self._demand(")", "an operator or ')'")
            return node
        if token.kind is Kind.NAME:
            return self._named(self._name())
        raise self._unexpected("an attribute, a literal, a function or '('")

    def _named(self, name: str) -> Node:
        if not self._accept(Kind.SYMBOL, ("(",)):
            return Attribute(_attribute_name(name))
        if not re.fullmatch(r"[A-Za-z][A-Za-z_]*", name):
            raise complaint(
                self._text, self._tokens[self._next - 2].at, f"no function can be called {name!r}"
            )
        if self._accept(Kind.SYMBOL, (")",)):
            return Call(name.upper(), ())
        return Call(name.upper(), self._list("an operator, ',' or ')'"))

    def _set(self) -> tuple[Node, ...]:
        self._demand("(", "'(' and the members of the set")
        return self._list("an operator, ',' or ')'")

    def _list(self, expected: str) -> tuple[Node, ...]:
        members = [self._logic()]
        while self._accept(Kind.SYMBOL, (",",)):
            members.append(self._logic())
        self._demand(")", expected)
        return tuple(members)

    def _pattern(self) -> str:
        token = self._token
        if token.kind is not Kind.STRING:
            raise self._unexpected("a pattern in quotes")
        self._next += 1
        return token.text

    def _name(self) -> str:
        token = self._token
        if token.kind not in (Kind.NAME, Kind.INTEGER):
            raise self._unexpected("the name of an attribute")
        self._next += 1
        return token.text

    def _integer(self, sign: str) -> Node:
        token = self._token
        digits = token.text.lstrip("0") or "0"
        number = int(sign + digits) if len(digits) <= 10 else INTEGER_MAX + 1
        if not INTEGER_MIN <= number <= INTEGER_MAX:
            raise complaint(
                self._text, token.at, f"{sign}{token.text[:40]} does not fit into CESQL's 32 bit integers"
            )
        self._next += 1
        return Literal(number)

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _accept(self, kind: Kind, texts: tuple[str, ...]) -> str | None:
        token = self._tokens[self._next]
        if token.kind is not kind or token.text not in texts:
            return None
        self._next += 1
        return token.text

    def _demand(self, symbol: str, expected: str) -> None:
        if not self._accept(Kind.SYMBOL, (symbol,)):
            raise self._unexpected(expected)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise complaint(self._text, self._token.at, f"nested deeper than {DEPTH_MAX}; use fewer brackets")

    def _unexpected(self, expected: str) -> Invalid:
        token = self._token
        return complaint(self._text, token.at, f"expected {expected}, not {_shown(token)}")


def _attribute_name(written: str) -> str:
    """CESQL ignores case, and CloudEvents names have none; only our own names with ``_`` keep it."""
    return written if "_" in written else written.lower()


def _shown(token: Token) -> str:
    if token.kind is Kind.END:
        return token.text
    return f"the word {token.text}" if token.text in KEYWORDS else repr(token.text[:40])
