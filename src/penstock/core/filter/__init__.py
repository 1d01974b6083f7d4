"""Filters: which events a subscription wants.

The dialects of the CloudEvents Subscriptions API (``exact prefix suffix all any not sql``) and two
that files need: ``glob`` and ``number``. ``docs/reference/filters.md`` describes them for users.
"""

from penstock.core.filter.document import parse
from penstock.core.filter.explanation import Explanation, explain
from penstock.core.filter.predicate import Predicate, compile_filter
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
from penstock.core.filter.view import View

__all__ = [
    "EVERYTHING",
    "All",
    "Any",
    "Exact",
    "Explanation",
    "Filter",
    "Glob",
    "Not",
    "Number",
    "Predicate",
    "Prefix",
    "Sql",
    "Suffix",
    "View",
    "compile_filter",
    "explain",
    "parse",
]
