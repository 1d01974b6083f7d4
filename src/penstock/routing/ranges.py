"""The table that leads from a number to slots."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Any

from penstock.core.filter import View
from penstock.core.filter.predicate import within
from penstock.core.filter.view import numbers_of, reader
from penstock.routing.access import Bounds
from penstock.routing.slots import Slot, take, weight
from penstock.routing.tally import Tally


class RangeTable:
    """By a number: points in a dictionary, half-open ranges in sorted lists, closed ones in cells.

    A closed range lies in one to three cells of a grid as wide as itself, rounded up to a power of
    two; a number asks one cell of each width that occurs.
    """

    def __init__(self, field: str) -> None:
        self._read = reader(field)
        self._slots: dict[Bounds, Slot] = {}
        self._points: dict[int | float, dict[Bounds, None]] = {}
        self._sorted = {order: _Thresholds(order) for order in (">=", ">", "<=", "<")}
        self._cells: dict[tuple[int, int | None], dict[Bounds, None]] = {}
        self._levels = Tally()

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, key: Bounds) -> Slot | None:
        """Return the slot under ``key``."""
        return self._slots.get(key)

    def put(self, key: Bounds, slot: Slot | None) -> None:
        """File ``slot`` under ``key``, or take away what is there."""
        known = key in self._slots
        if slot is not None:
            self._slots[key] = slot
            if not known:
                self._file(key)
        else:
            del self._slots[key]
            self._unfile(key)

    def weight(self, key: Bounds) -> int:
        """A half-open range is expected to hold for half of what comes."""
        return weight(self._slots.get(key)) + (
            len(self._slots) // 2 if len(key) == 1 and key[0][0] != "==" else 0
        )

    def find(self, view: View, found: list[str]) -> None:
        """Add to ``found`` the names of filters that want the event."""
        value = self._read(view)
        several: list[str] = []
        numbers = (value,) if type(value) is int else numbers_of(value)
        for number in numbers:
            for bounds in self._bounds_around(number):
                take(self._slots[bounds], view, several)
        found.extend(several if len(numbers) < 2 else dict.fromkeys(several))

    def _bounds_around(self, number: int | float) -> Iterable[Bounds]:
        """Yield the bounds of all ranges that hold ``number``, each once."""
        for bounds in self._points.get(number, ()):
            if within(number, bounds):
                yield bounds
        for order, thresholds in self._sorted.items():
            if thresholds:
                for bound in thresholds.passed_by(number):
                    yield ((order, bound),)
        for level in self._levels:
            for bounds in self._cells.get((level, _cell(number, level)), ()):
                if within(number, bounds):
                    yield bounds

    def _file(self, key: Bounds) -> None:
        point, level, cells = _place(key)
        if point is not None:
            self._points.setdefault(point, {})[key] = None
        elif len(key) == 1:
            self._sorted[key[0][0]].add(key[0][1])
        else:
            self._levels.count(level, 1)
            for cell in cells:
                self._cells.setdefault((level, cell), {})[key] = None

    def _unfile(self, key: Bounds) -> None:
        point, level, cells = _place(key)
        if point is not None:
            _drop(self._points, point, key)
        elif len(key) == 1:
            self._sorted[key[0][0]].remove(key[0][1])
        else:
            self._levels.count(level, -1)
            for cell in cells:
                _drop(self._cells, (level, cell), key)


class _Thresholds:
    """Bounds of one order, sorted."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._sorted: list[int | float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, bound: int | float) -> None:
        insort(self._sorted, bound)

    def remove(self, bound: int | float) -> None:
        del self._sorted[bisect_left(self._sorted, bound)]

    def passed_by(self, number: int | float) -> Sequence[int | float]:
        """Return the bounds that ``number`` satisfies."""
        match self._order:
            case ">=":
                return self._sorted[: bisect_right(self._sorted, number)]
            case ">":
                return self._sorted[: bisect_left(self._sorted, number)]
            case "<=":
                return self._sorted[bisect_left(self._sorted, number) :]
        return self._sorted[bisect_right(self._sorted, number) :]


def _drop(shelves: dict[Any, dict[Bounds, None]], key: object, member: Bounds) -> None:
    del shelves[key][member]
    if not shelves[key]:
        del shelves[key]


def _place(bounds: Bounds) -> tuple[int | float | None, int, range]:
    """Return the only number that fits, or else the level and the cells of a range with two ends."""
    lows = [bound for order, bound in bounds if order in (">=", ">", "==")]
    highs = [bound for order, bound in bounds if order in ("<=", "<", "==")]
    if any(order == "==" for order, _ in bounds):
        return lows[0], 0, range(0)
    if not lows or not highs:
        return None, 0, range(0)
    low, high = max(lows), min(highs)
    level = _level(float(low), float(high))
    return None, level, _cells(_cell(low, level), _cell(high, level))


def _level(low: float, high: float) -> int:
    """Return the exponent of the cells for a range: as wide as it, and few enough for whole numbers."""
    width = high - low
    if math.isinf(width):
        return _LEVEL_MAX
    return max(math.frexp(width)[1], math.frexp(max(abs(low), abs(high)))[1] - _CELL_BITS)


_LEVEL_MAX = 1025
_CELL_BITS = 60


def _cells(first: int | None, last: int | None) -> range:
    return range(0) if first is None or last is None else range(first, last + 1)


def _cell(number: int | float, level: int) -> int | None:
    """Return the cell of ``number``; None if it is beyond every range filed at this level."""
    try:
        return math.floor(math.ldexp(number, -level))
    except OverflowError:
        return None
