"""What a filter is made of: frozen nodes, equal if they say the same.

``field`` is the name of a CloudEvents attribute or extension, ``path``, or ``data.<member>``.
"""

from __future__ import annotations

from msgspec import Struct


class Exact(Struct, frozen=True, gc=False):
    """The field's text is ``text``."""

    field: str
    text: str


class Prefix(Struct, frozen=True, gc=False):
    """The field's text starts with ``text``."""

    field: str
    text: str


class Suffix(Struct, frozen=True, gc=False):
    """The field's text ends with ``text``."""

    field: str
    text: str


class Glob(Struct, frozen=True, gc=False):
    """The field's text has the shape of ``pattern`` (see ``filter.glob``)."""

    field: str
    pattern: str


class Number(Struct, frozen=True, gc=False):
    """The field is a number within all ``bounds``: pairs of ``== != >= > <= <`` and a number."""

    field: str
    bounds: tuple[tuple[str, int | float], ...]


class Sql(Struct, frozen=True, gc=False):
    """The CESQL expression ``text`` is true of the event, without an error."""

    text: str


class All(Struct, frozen=True, gc=False):
    """Every one of ``filters`` wants the event; with none of them, everything is wanted."""

    filters: tuple[Filter, ...]


class Any(Struct, frozen=True, gc=False):
    """At least one of ``filters`` wants the event."""

    filters: tuple[Filter, ...]


class Not(Struct, frozen=True, gc=False):
    """``filter`` does not want the event."""

    filter: Filter


Filter = Exact | Prefix | Suffix | Glob | Number | Sql | All | Any | Not

EVERYTHING: Filter = All(())
"""Wants every event."""
