"""Tables that lead from an event to slots: by a text, its start or its end.

One table per kind of access and field. Looking up costs what the event's own text is long, never
what the table holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from penstock.core.filter import View
from penstock.core.filter.view import PATH, Reader, reader, text_of, texts_of
from penstock.routing.access import SEGMENTS, Kind
from penstock.routing.ranges import RangeTable
from penstock.routing.slots import Slot, take, weight
from penstock.routing.tally import Tally

_SHARED_MAX = 10_000


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
            take(slot, view, found)


class ExactTable(_TextTable):
    """By a whole text."""


class SegmentTable(_TextTable):
    """By a name between the slashes of the path."""

    def find(self, view: View, found: list[str]) -> None:
        """Add to ``found`` the names of filters that want the event."""
        get = self._slots.get
        for segment in set(self._read(view).split("/")):
            if (slot := get(segment)) is not None:
                take(slot, view, found)


class SuffixTable(_TextTable):
    """By the end of a text: one look-up per length that occurs."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self._lengths = Tally()

    def _count(self, key: str, by: int) -> None:
        self._lengths.count(len(key), by)

    def _look_up(self, text: str, view: View, found: list[str]) -> None:
        get, size = self._slots.get, len(text)
        for length in self._lengths:
            if length <= size and (slot := get(text[size - length :])) is not None:
                take(slot, view, found)


class PrefixTable(_TextTable):
    """By the start of a text.

    Starts that end in ``/`` are looked up at each slash of the text, if any start has so many
    slashes. A start that ends within a segment is filed under its folder, which knows the lengths
    of such tails; so only lengths are tried that occur right there.
    """

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self._whole = Tally()
        self._partial = Tally()
        self._depths: tuple[tuple[int, bool, bool], ...] = ()
        self._tails: dict[str, tuple[tuple[int, int], ...]] = {}
        self._shared: dict[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]] = {}

    def _count(self, key: str, by: int) -> None:
        """Count starts by their slashes; ``_depths`` tells what to look up at which slash."""
        slashes = key.count("/")
        counts = self._whole if key.endswith("/") else self._partial
        counts.count(slashes, by)
        if counts.get(slashes, 0) == (by > 0):
            depths = sorted(self._whole.keys() | self._partial.keys())
            self._depths = tuple((depth, depth in self._whole, depth in self._partial) for depth in depths)
        if counts is self._partial:
            folder = key[: key.rfind("/") + 1]
            self._count_tail(folder, len(key) - len(folder), by)

    def _count_tail(self, folder: str, length: int, by: int) -> None:
        """Tuples of (length, count), shared between folders, cost next to nothing per folder."""
        counts = Tally(self._tails.get(folder, ()))
        counts.count(length, by)
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
                take(slot, view, found)
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
                take(slot, view, found)


def text_reader(field: str) -> Reader:
    """Return the function that reads a field; for segments, the path."""
    return _path if field in (PATH, SEGMENTS) else reader(field)


def _path(view: View) -> str:
    """The path; without a call where the subject needs no decoding."""
    subject = view.subject
    return subject if subject is not None and "%" not in subject else view.path


_TABLES: dict[Kind, Callable[[str], Table]] = {
    Kind.PREFIX: PrefixTable,
    Kind.EXACT: ExactTable,
    Kind.SUFFIX: SuffixTable,
    Kind.RANGE: RangeTable,
}
