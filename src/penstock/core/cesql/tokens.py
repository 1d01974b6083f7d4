"""The words of CESQL: text in, tokens with their positions out."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from penstock.core.errors import Invalid

TEXT_CHARS_MAX = 16_384
"""Longest expression, in characters."""


class Kind(StrEnum):
    """What a token is."""

    KEYWORD = "keyword"
    """A reserved word, in upper case."""
    NAME = "name"
    """An attribute or a function."""
    INTEGER = "integer"
    """Digits without a sign."""
    STRING = "string"
    """A literal, its quotes removed and its escapes resolved."""
    SYMBOL = "symbol"
    """An operator, a bracket or a comma."""
    END = "end"
    """Behind the last token."""


class Token(NamedTuple):
    """One word; ``at`` counts characters from 1."""

    kind: Kind
    text: str
    at: int


KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"})

_WORD = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<name>[A-Za-z0-9_]+)
      | (?P<string>'(?:\\.|''|[^'\\])*+' | "(?:\\.|""|[^"\\])*+")
      | (?P<symbol><>|!=|<=|>=|[-+*/%=<>(),])""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str) -> list[Token]:
    """Return the tokens of ``text``, an END last.

    Raises:
        Invalid: It is too long, or holds something that is no word of the language.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise Invalid(
            f"CESQL: the expression has {len(text)} characters; at most {TEXT_CHARS_MAX} are allowed"
        )
    found = []
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            raise complaint(text, position + 1, _unreadable(text[position]))
        if match.lastgroup != "space":
            found.append(_token(match))
        position = match.end()
    found.append(Token(Kind.END, "the end", len(text) + 1))
    return found


def complaint(text: str, at: int, message: str) -> Invalid:
    """Return an error that shows the place ``at`` (from 1) in ``text``."""
    start = max(0, at - 1 - 30)
    around = text[start : at - 1 + 30].replace("\n", " ").replace("\t", " ")
    pointer = " " * (at - 1 - start) + "^"
    return Invalid(f"CESQL, character {at}: {message}", (around, pointer))


def _token(match: re.Match[str]) -> Token:
    word, at = match.group(), match.start() + 1
    if match.lastgroup == "symbol":
        return Token(Kind.SYMBOL, word, at)
    if match.lastgroup == "string":
        return Token(Kind.STRING, _unescape(word), at)
    if word.upper() in KEYWORDS:
        return Token(Kind.KEYWORD, word.upper(), at)
    return Token(Kind.INTEGER if word.isdigit() else Kind.NAME, word, at)


def _unescape(literal: str) -> str:
    """Remove the quotes, and the backslash before such a quote; one before anything else stays."""
    quote = literal[0]
    return re.sub(rf"\\{quote}|{quote}{quote}", quote, literal[1:-1])


def _unreadable(character: str) -> str:
    if character in "'\"":
        return f"a string that begins with {character} is never closed"
    return f"{character!r} means nothing here; expected an attribute, a literal, an operator or a bracket"
