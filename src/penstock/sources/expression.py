"""Expressions over JSON, in JMESPath, with bounds on their work: ``event.node.path || event.target.path``.

They are compiled once. JMESPath has no loops of its own, but expressions can double a list with each of their
parts, so steps, lists and texts are counted while one is evaluated. Besides its own functions there are::

    unquote(text)         %C3%BC becomes ü                  path_of(url)    davs://host/a%20b becomes /a b
    lower(text)           in lower case                     split(text, at) parts of a text
    int(text or number)   a whole number
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import jmespath
import jmespath.functions
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from penstock.core.errors import Invalid

F = TypeVar("F", bound=Callable[..., Any])
TEXT_MAX = 2000
"""Longest expression."""
STEPS_MAX = 100_000
"""Most parts of an expression evaluated for one record, each as often as it is."""
ITEMS_MAX = 100_000
"""Longest list, or text, that may come out of any part."""


class Expression:
    """One expression.

    Args:
        text: As written in the settings.
        place: Where it is written; part of every message.

    Raises:
        Invalid: It is no such expression; the message says where it goes wrong.
    """

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.place = place
        if len(text) > TEXT_MAX:
            raise Invalid(f"{place}: the expression has {len(text)} characters; at most {TEXT_MAX} are taken")
        try:
            self._tree = jmespath.compile(text).parsed
        except (JMESPathError, ValueError, RecursionError) as error:
            raise Invalid(f"{place}: {text!r} is no JMESPath expression: {error}") from error

    def of(self, value: Any) -> Any:
        """Return what the expression finds in ``value``, None if nothing.

        Raises:
            Invalid: It does not fit what is there, or it works too long.
        """
        try:
            return _Bounded(_OPTIONS).visit(self._tree, value)
        except _TooMuch as error:
            raise Invalid(f"{self.place}: {self.text!r} {error}") from None
        except (JMESPathError, ValueError, TypeError, RecursionError) as error:
            raise Invalid(f"{self.place}: {self.text!r} does not fit: {error}") from error


class _TooMuch(Exception):
    """A bound was passed."""


class _Bounded(TreeInterpreter):  # type: ignore[misc]
    """Counts what it does."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._steps = 0

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise _TooMuch(f"takes more than {STEPS_MAX} steps for one record")
        found = super().visit(node, *args, **kwargs)
        if isinstance(found, list | str) and len(found) > ITEMS_MAX:
            raise _TooMuch(f"makes more than {ITEMS_MAX} items of one record")
        return found


_signature: Callable[..., Callable[[F], F]] = jmespath.functions.signature


class _Functions(jmespath.functions.Functions):  # type: ignore[misc]
    """JMESPath's functions and ours."""

    @_signature({"types": ["string"]})
    def _func_unquote(self, text: str) -> str:
        return unquote(text)

    @_signature({"types": ["string"]})
    def _func_path_of(self, url: str) -> str:
        return unquote(urlsplit(url).path)

    @_signature({"types": ["string"]})
    def _func_lower(self, text: str) -> str:
        return text.lower()

    @_signature({"types": ["string"]}, {"types": ["string"]})
    def _func_split(self, text: str, at: str) -> list[str]:
        return text.split(at)

    @_signature({"types": ["string", "number"]})
    def _func_int(self, value: str | float) -> int:
        return int(value)


_OPTIONS = jmespath.Options(custom_functions=_Functions())
