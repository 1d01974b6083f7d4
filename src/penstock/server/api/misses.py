"""By what a trigger missed an event, and how nearly: so that of many the interesting ones come first."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from os.path import dirname
from typing import NamedTuple

from penstock.core.errors import Invalid
from penstock.core.filter import (
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
    View,
    compile_filter,
)
from penstock.core.filter.glob import matcher

STORAGE_FIELDS = ("source", "data.storage")
PATH_FIELDS = ("path", "subject")


class Why(StrEnum):
    """What was not as wanted, in words for people."""

    DETAILS = "other details of the file or event"
    EXPRESSION = "their expression is not true"
    EXCLUDED = "they exclude it"
    NAME = "other file name"
    FOLDER = "other folder"
    STORAGE = "other storage"
    KIND = "other kind of event"


_DISTANCE = {why: place for place, why in enumerate(Why, 1)}


class Miss(NamedTuple):
    """How a filter missed an event; nearer ones are smaller.

    Attributes:
        distance: What was wrong, weighed; more faults weigh more.
        unlike: Less than nothing by the characters that pattern and path share at their ends.
        why: The weightiest fault.
    """

    distance: int
    unlike: int
    why: Why


class _Fault(NamedTuple):
    why: Why
    alike: int = 0


def miss_of(filter: Filter, view: View) -> Miss | None:
    """Return how ``filter`` misses the event; None if it wants it."""
    found = _faults(filter, view)
    if not found:
        return None
    worst = max((fault.why for fault in found), key=_DISTANCE.__getitem__)
    return Miss(_weight(found), -max(fault.alike for fault in found), worst)


def _weight(faults: Sequence[_Fault]) -> int:
    return sum(_DISTANCE[fault.why] for fault in faults)


def _faults(filter: Filter, view: View) -> list[_Fault]:
    match filter:
        case All(parts):
            return [fault for part in parts for fault in _faults(part, view)]
        case Any(parts):
            ways = [_faults(part, view) for part in parts]
            return min(ways, key=lambda way: (_weight(way), -_alike(way)), default=[_Fault(Why.EXCLUDED)])
        case _ if compile_filter(filter)(view):
            return []
        case Not(_):
            return [_Fault(Why.EXCLUDED)]
        case Sql(_):
            return [_Fault(Why.EXPRESSION)]
        case _:
            return [_leaf(filter, view)]


def _alike(faults: Sequence[_Fault]) -> int:
    return max((fault.alike for fault in faults), default=0)


def _leaf(filter: Exact | Prefix | Suffix | Glob | Number, view: View) -> _Fault:
    if filter.field == "type":
        return _Fault(Why.KIND)
    if filter.field in STORAGE_FIELDS:
        return _Fault(Why.STORAGE)
    if filter.field not in PATH_FIELDS or isinstance(filter, Number):
        return _Fault(Why.DETAILS)
    return _path_fault(filter, view.path)


def _path_fault(filter: Exact | Prefix | Suffix | Glob, path: str) -> _Fault:
    match filter:
        case Exact(_, text):
            return _Fault(Why.NAME if dirname(text) == dirname(path) else Why.FOLDER, _shared(text, path))
        case Prefix(_, text):
            return _Fault(Why.FOLDER, _shared(text, path))
        case Suffix(_, text):
            return _Fault(Why.FOLDER if "/" in text else Why.NAME, _shared(text, path))
        case Glob(_, pattern):
            return _Fault(Why.NAME if _is_in_folder(pattern, path) else Why.FOLDER, _shared(pattern, path))


def _is_in_folder(pattern: str, path: str) -> bool:
    """Whether only the last part of a glob keeps it from matching."""
    folder, slash, name = pattern.rpartition("/")
    try:
        return not slash or matcher(f"{folder}/**" if "**" in name else f"{folder}/*")(path)
    except Invalid:
        return False  # the slash was inside of a set of characters


def _shared(pattern: str, path: str) -> int:
    """Return how many characters both have in common at their beginnings and their ends."""
    return _beginning(pattern, path) + _beginning(pattern[::-1], path[::-1])


def _beginning(one: str, other: str) -> int:
    differing = (place for place, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its)
    return next(differing, min(len(one), len(other)))
