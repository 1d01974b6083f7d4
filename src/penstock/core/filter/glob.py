"""Globs on paths.

``*`` is any text without ``/``, ``**`` any text, ``**/`` any folders (also none), ``?`` one
character but ``/``, ``[a-z]`` and ``[!a-z]`` a character (not) out of a set, ``\\`` takes the next
character literally; case counts. A pattern that begins with ``/`` is the whole path, any other one may
begin at any folder. A byte of a path that is no UTF-8 counts as one character.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from penstock.core.errors import Invalid

PATTERN_CHARS_MAX = 1024
"""Longest pattern, in characters."""
PATH_CHARS_MAX = 8192
"""Longer paths match no glob (no file system allows them), so that matching stays fast."""

_STAR, _DEEP, _FOLDERS = "*", "**", "**/"


class Token(NamedTuple):
    """A piece of a pattern: ``literal`` is set for a plain character, ``regex`` says how to match it.

    For wildcards of any length ``regex`` is ``*``, ``**`` or ``**/``.
    """

    regex: str
    literal: str = ""


class Shape(NamedTuple):
    """What is known of every path that a pattern matches; for indexes and quick refusals.

    Attributes:
        prefix: How it starts.
        suffix: How it ends.
        folders: Names that are among its segments.
    """

    prefix: str
    suffix: str
    folders: tuple[str, ...]


def tokens(pattern: str) -> list[Token]:
    """Return the tokens of ``pattern``; one that may begin at any folder begins with ``**/``.

    Raises:
        Invalid: It is no pattern; the message says where (characters from 1) and why.
    """
    if not 0 < len(pattern) <= PATTERN_CHARS_MAX:
        raise Invalid(f"a glob has 1 to {PATTERN_CHARS_MAX} characters, not {len(pattern)}")
    if pattern.endswith("/"):
        raise Invalid(
            f"{pattern!r} ends in '/' and would match no file; for all files below write '{pattern}**'"
        )
    found = [] if pattern.startswith(("/", "**")) else [Token(_FOLDERS)]
    at = 0
    while at < len(pattern):
        token, at = _token(pattern, at)
        found.append(token)
    return found


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the function that says whether a path matches ``pattern``."""
    parts = tokens(pattern)
    shape = shape_of(parts)
    wild = [token.regex for token in parts if not token.literal]
    if not wild:
        return shape.prefix.__eq__
    if wild == [_FOLDERS, _STAR] and parts[:2] == [Token(_FOLDERS), Token(_STAR)] and "/" not in shape.suffix:
        return _ending(shape.suffix)
    if wild == [_DEEP] and parts[-1].regex == _DEEP:
        return _starting(shape.prefix)
    return _Matcher(parts, shape)


def shape_of(parts: list[Token]) -> Shape:
    """Return what every path that the tokens match has in common."""
    return Shape(_literal_run(parts), _literal_run(parts[::-1])[::-1], tuple(_literal_segments(parts)))


class _Matcher:
    """Matches by a regular expression, made when it is first needed: most filters never need theirs."""

    __slots__ = ("_match", "_parts", "_shape")

    def __init__(self, parts: list[Token], shape: Shape) -> None:
        self._parts, self._shape = parts, shape
        self._match: Callable[[str], object] | None = None

    def __call__(self, path: str) -> bool:
        _, suffix, _ = shape = self._shape
        if not (path.endswith(suffix) and path.startswith(shape.prefix)) or len(path) > PATH_CHARS_MAX:
            return False
        if self._match is None:
            self._match = re.compile(_regex(self._parts), re.DOTALL).match
        return self._match(path) is not None


def _ending(suffix: str) -> Callable[[str], bool]:
    return lambda path: path.endswith(suffix) and len(path) <= PATH_CHARS_MAX


def _starting(prefix: str) -> Callable[[str], bool]:
    return lambda path: path.startswith(prefix) and len(path) <= PATH_CHARS_MAX


def _token(pattern: str, at: int) -> tuple[Token, int]:
    character = pattern[at]
    if character == "*":
        return _stars(pattern, at)
    if character == "?":
        return Token("[^/]"), at + 1
    if character == "[":
        return _set(pattern, at)
    if character == "\\":
        if at + 1 == len(pattern):
            raise Invalid(f"{pattern!r} ends in a backslash; write two to mean one")
        at, character = at + 1, pattern[at + 1]
    return Token(re.escape(character), character), at + 1


def _stars(pattern: str, at: int) -> tuple[Token, int]:
    end = at
    while end < len(pattern) and pattern[end] == "*":
        end += 1
    if end == at + 1:
        return Token(_STAR), end
    if pattern[end : end + 1] == "/" and (at == 0 or pattern[at - 1] == "/"):
        return Token(_FOLDERS), end + 1
    return Token(_DEEP), end


def _set(pattern: str, start: int) -> tuple[Token, int]:
    """``[abc]``, ``[a-z]``, ``[!a]`` or ``[^a]``; a ``]`` right behind the bracket is a member."""
    negated = pattern[start + 1 : start + 2] in ("!", "^")
    first = start + 1 + negated
    end = pattern.find("]", first + 1)
    if end < 0:
        raise Invalid(
            f"{pattern!r}: the '[' at character {start + 1} is never closed; write '\\[' to mean it"
        )
    members, at = "", first
    while at < end:
        low = high = pattern[at]
        if pattern[at + 1 : at + 2] == "-" and at + 2 < end:
            high, at = pattern[at + 2], at + 2
        if low > high:
            raise Invalid(f"{pattern!r}: the range {low}-{high} at character {at - 1} is the wrong way round")
        members += f"{re.escape(low)}-{re.escape(high)}"
        at += 1
    return Token(f"(?!/)[{'^' if negated else ''}{members}]"), end + 1


def _literal_run(parts: list[Token]) -> str:
    run = ""
    for token in parts:
        if not token.literal:
            break
        run += token.literal
    return run


def _literal_segments(parts: list[Token]) -> list[str]:
    segments, current, literal = [], "", True
    for token in (*parts, Token("", "/")):
        if token.literal == "/" or token.regex == _FOLDERS:
            if literal and current:
                segments.append(current)
            current, literal = "", True
        else:
            current += token.literal
            literal = literal and bool(token.literal)
    return segments


def _regex(parts: list[Token]) -> str:
    """Each wildcard takes the shortest text after which the next piece fits, and never reconsiders.

    That loses nothing: whatever a later match of the piece would allow, the next wildcard can reach
    as well from the earlier one. So nothing is tried twice, and no pattern can be made to explode.
    """
    chunks: list[tuple[str, list[Token]]] = [("", [])]
    for token in parts:
        if token.regex in (_DEEP, _FOLDERS):
            chunks.append((token.regex, []))
        else:
            chunks[-1][1].append(token)
    last = len(chunks) - 1
    return "".join(_chunk(wide, inner, final=index == last) for index, (wide, inner) in enumerate(chunks))


def _chunk(wide: str, inner: list[Token], *, final: bool) -> str:
    """What stands before the first slash of an absolute path is no folder: ``*`` is not it."""
    pieces: list[str] = [""]
    for token in inner:
        if token.regex == _STAR:
            pieces.append("")
        else:
            pieces[-1] += token.regex
    if final:
        pieces[-1] += r"\Z"
    body = pieces[0] + "".join(f"(?>[^/]*?{piece})" for piece in pieces[1:])
    if wide == _DEEP:
        return f"(?>.*?{body})"
    return f"(?>(?:(?!/)|.*?/){body})" if wide == _FOLDERS else body
