"""Tables that lead from an event to slots: by a text, its start, its end, or a number.

One table per kind of access and field. Looking up costs what the event's own text is long, never
what the table holds.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from penstock.core.filter import View
from penstock.core.filter.predicate import within
from penstock.core.filter.view import PATH, Reader, numbers_of, reader, text_of, texts_of
from penstock.routing.access import SEGMENTS, Bounds, Kind
from penstock.routing.slots import Slot, weight


class Table(Protocol):
    """Slots under keys, found from an event."""

    def get(self, key: Any) -> Slot | None:
        """Return the slot under ``key``."""

    def put(self, key: Any, slot: Slot | None) -> None:
        """File ``slot`` under ``key``, or take away what is there."""

    def weight(self, key: Any) -> int:
        """Return about how many checks an event costs that is led to ``key``."""

    def find(self, view: View, found: list[str]) -> None:
        """Add to ``found`` the names of filters that want the event."""

    def __len__(self) -> int:
        """How many keys there are."""


def table(kind: Kind, field: str) -> Table:
    """Return an empty table for accesses of this kind and field."""
    return SegmentTable(field) if field == SEGMENTS else _TABLES[kind](field)


class _TextTable:
    """What the tables by text share: slots in a dictionary."""

    def __init__(self, field: str) -> None:
        self._slots: dict[str, Slot] = {}
        self._read = text_reader(field)

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, key: str) -> Slot | None:
        return self._slots.get(key)

    def put(self, key: str, slot: Slot | None) -> None:
        known = key in self._slots
        if slot is None:
            del self._slots[key]
            self._count(key, -1)
        else:
            self._slots[key] = slot
            if not known:
                self._count(key, 1)

    def weight(self, key: str) -> int:
        return weight(self._slots.get(key))

    def find(self, view: View, found: list[str]) -> None:
        value = self._read(view)
        if type(value) is str:
            self._look_up(value, view, found)
        elif type(value) is list:
            several: list[str] = []
            for text in texts_of(value):
                self._look_up(text, view, several)
            found.extend(dict.fromkeys(several))
        elif (only := text_of(value)) is not None:
            self._look_up(only, view, found)

    def _count(self, key: str, by: int) -> None:
        """Keep the books that ``_look_up`` needs when a key comes (1) or goes (-1)."""

    def _look_up(self, text: str, view: View, found: list[str]) -> None:
        slot = self._slots.get(text)
        if slot is not None:
            _take(slot, view, found)


class ExactTable(_TextTable):
    """By a whole text."""


class SegmentTable(_TextTable):
    """By a name between the slashes of the path."""

    def find(self, view: View, found: list[str]) -> None:
        """Add to ``found`` the names of filters that want the event."""
        get = self._slots.get
        for segment in set(self._read(view).split("/")):
            if (slot := get(segment)) is not None:
                _take(slot, view, found)


class SuffixTable(_TextTable):
    """By the end of a text: one look-up per length that occurs."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self._lengths: dict[int, int] = {}

    def _count(self, key: str, by: int) -> None:
        _tally(self._lengths, len(key), by)

    def _look_up(self, text: str, view: View, found: list[str]) -> None:
        get, size = self._slots.get, len(text)
        for length in self._lengths:
            if length <= size and (slot := get(text[size - length :])) is not None:
                _take(slot, view, found)


class PrefixTable(_TextTable):
    """By the start of a text.

    Starts that end in ``/`` are looked up at each slash of the text, if any start has so many
    slashes. A start that ends within a segment is filed under its folder, which knows the lengths
    of such tails; so only lengths are tried that occur right there.
    """

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self._whole: dict[int, int] = {}
        self._partial: dict[int, int] = {}
        self._depths: tuple[tuple[int, bool, bool], ...] = ()
        self._tails: dict[str, tuple[tuple[int, int], ...]] = {}
        self._shared: dict[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]] = {}

    def _count(self, key: str, by: int) -> None:
        """Count starts by their slashes; ``_depths`` tells what to look up at which slash."""
        slashes = key.count("/")
        counts = self._whole if key.endswith("/") else self._partial
        _tally(counts, slashes, by)
        if counts.get(slashes, 0) == (by > 0):
            depths = sorted(self._whole.keys() | self._partial.keys())
            self._depths = tuple((depth, depth in self._whole, depth in self._partial) for depth in depths)
        if counts is self._partial:
            folder = key[: key.rfind("/") + 1]
            self._count_tail(folder, len(key) - len(folder), by)

    def _count_tail(self, folder: str, length: int, by: int) -> None:
        """Tuples of (length, count), shared between folders, cost next to nothing per folder."""
        counts = dict(self._tails.get(folder, ()))
        _tally(counts, length, by)
        if not counts:
            del self._tails[folder]
            return
        pairs = tuple(sorted(counts.items()))
        if len(self._shared) > _SHARED_MAX:
            self._shared.clear()
        self._tails[folder] = self._shared.setdefault(pairs, pairs)

    def _look_up(self, text: str, view: View, found: list[str]) -> None:
        start = depth = 0
        for wanted, whole, partial in self._depths:
            while depth < wanted:
                start = text.find("/", start) + 1
                if start == 0:
                    return
                depth += 1
            folder = text[:start]
            if whole and (slot := self._slots.get(folder)) is not None:
                _take(slot, view, found)
            if partial and (pairs := self._tails.get(folder)) is not None:
                self._look_up_tails(text, start, pairs, view, found)

    def _look_up_tails(
        self, text: str, start: int, pairs: tuple[tuple[int, int], ...], view: View, found: list[str]
    ) -> None:
        end = text.find("/", start)
        room = (len(text) if end < 0 else end) - start
        for length, _ in pairs:
            if length > room:
                return
            slot = self._slots.get(text[: start + length])
            if slot is not None:
                _take(slot, view, found)


_SHARED_MAX = 10_000


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
        self._levels: dict[int, int] = {}

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
                _take(self._slots[bounds], view, several)
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
            _tally(self._levels, level, 1)
            for cell in cells:
                self._cells.setdefault((level, cell), {})[key] = None

    def _unfile(self, key: Bounds) -> None:
        point, level, cells = _place(key)
        if point is not None:
            _drop(self._points, point, key)
        elif len(key) == 1:
            self._sorted[key[0][0]].remove(key[0][1])
        else:
            _tally(self._levels, level, -1)
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


def text_reader(field: str) -> Reader:
    """Return the function that reads a field; for segments, the path."""
    return _path if field in (PATH, SEGMENTS) else reader(field)


def _path(view: View) -> str:
    """The path; without a call where the subject needs no decoding."""
    subject = view.subject
    return subject if subject is not None and "%" not in subject else view.path


def _take(slot: Slot, view: View, found: list[str]) -> None:
    if isinstance(slot, str):
        found.append(slot)
    else:
        slot.collect(view, found)


def _tally(counts: dict[int, int], key: int, by: int) -> None:
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]


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


_TABLES: dict[Kind, Callable[[str], Table]] = {
    Kind.PREFIX: PrefixTable,
    Kind.EXACT: ExactTable,
    Kind.SUFFIX: SuffixTable,
    Kind.RANGE: RangeTable,
}
