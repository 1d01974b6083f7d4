"""The index: from an event to the names of the filters that want it.

What an event costs depends on the event and on the filters that want it, not on how many others
there are. Each alternative of a filter is filed where few others are: below its event type, under
the first of its accesses (see ``access``) that is not crowded, else the least crowded one. Terms
that this does not settle are checked for the few that are found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

from penstock.core.errors import Conflict, NotFound
from penstock.core.event import Event
from penstock.core.filter import Exact, Filter, View
from penstock.routing.access import Access, Bounds, Kind, Terms, accesses, alternatives, event_type
from penstock.routing.slots import Slot, joined, parted
from penstock.routing.tables import Table, table

CROWD = 4
"""Checks at one place from which on a further filter looks for a better one."""


class _Place(NamedTuple):
    """Where an alternative is filed; ``kind`` None means with all that only share a type."""

    type: str | None
    kind: Kind | None
    field: str
    key: str | Bounds
    rest: Terms


class FilterIndex:
    """Names of filters by what they want. Changing it takes microseconds; not for several threads.

    With hundreds of thousands of filters, call ``gc.freeze()`` after adding them, so that the garbage
    collector does not walk through them again and again.
    """

    def __init__(self) -> None:
        self._shelves: dict[str | None, _Shelf] = {}
        self._places: dict[str, tuple[_Place, ...] | _Place] = {}
        self._split = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def add(self, name: str, filter: Filter) -> None:
        """Match ``name`` from now on where ``filter`` wants the event.

        Raises:
            Conflict: There is a filter of this name.
        """
        if name in self._places:
            raise Conflict(f"filter {name!r} is in the index already; replace it instead")
        places = tuple(self._file(name, terms) for terms in dict.fromkeys(alternatives(filter)))
        self._split += len(places) > 1
        self._places[name] = places[0] if len(places) == 1 else places

    def replace(self, name: str, filter: Filter) -> None:
        """Match ``name`` by ``filter`` from now on, whether it was there before or not."""
        if name in self._places:
            self.remove(name)
        self.add(name, filter)

    def remove(self, name: str) -> None:
        """Match ``name`` no more.

        Raises:
            NotFound: There is no filter of this name.
        """
        found = self._places.pop(name, None)
        if found is None:
            raise NotFound(f"filter {name!r} is not in the index")
        places = (found,) if isinstance(found, _Place) else found
        self._split -= len(places) > 1
        for place in places:
            self._unfile(name, place)

    def match(self, event: Event) -> list[str]:
        """Return the names of all filters that want ``event``, each once, in no particular order."""
        return self.match_view(View(event))

    def match_bytes(self, raw: bytes | memoryview) -> list[str]:
        """The same for an accepted event in the CloudEvents JSON format, decoding only what is asked for.

        Raises:
            msgspec.MsgspecError: It is no event.
        """
        return self.match_view(View.of_bytes(raw))

    def match_view(self, view: View) -> list[str]:
        """The same for a view, which keeps what was decoded for later use."""
        found: list[str] = []
        shelves = self._shelves
        shelf = shelves.get(view.type)
        if shelf is not None:
            shelf.find(view, found)
        shelf = shelves.get(None)
        if shelf is not None:
            shelf.find(view, found)
        if self._split and len(found) > 1:
            return list(dict.fromkeys(found))
        return found

    def _file(self, name: str, terms: Terms) -> _Place:
        type = event_type(terms)
        shelf = self._shelves.get(type)
        if shelf is None:
            shelf = self._shelves[type] = _Shelf()
        place = shelf.place(type, terms)
        shelf.put(place, joined(shelf.get(place), name, place.rest))
        return place

    def _unfile(self, name: str, place: _Place) -> None:
        shelf = self._shelves[place.type]
        slot = shelf.get(place)
        assert slot is not None
        shelf.put(place, parted(slot, name, place.rest))
        if shelf.is_empty():
            del self._shelves[place.type]


class _Shelf:
    """The filters that want one type of event, or (under None) any type."""

    __slots__ = ("_all", "_finders", "_tables")

    def __init__(self) -> None:
        self._all: Slot | None = None
        self._tables: dict[tuple[Kind, str], Table] = {}
        self._finders: tuple[Callable[[View, list[str]], None], ...] = ()

    def find(self, view: View, found: list[str]) -> None:
        """Add to ``found`` the names of the filters that want the event."""
        for find in self._finders:
            find(view, found)
        every = self._all
        if every is not None:
            if isinstance(every, str):
                found.append(every)
            else:
                every.collect(view, found)

    def place(self, type: str | None, terms: Terms) -> _Place:
        """Return where to file ``terms``."""
        choice = self._choice(accesses(terms) if type is None else _beyond_type(terms))
        settled: set[Filter] = set() if type is None else {Exact("type", type)}
        if choice is not None and choice.covers:
            settled.add(choice.term)
        rest = tuple(term for term in terms if term not in settled)
        if choice is None:
            return _Place(type, None, "", "", rest)
        return _Place(type, choice.kind, choice.field, choice.key, rest)

    def get(self, place: _Place) -> Slot | None:
        """Return the slot at ``place``."""
        if place.kind is None:
            return self._all
        table = self._tables.get((place.kind, place.field))
        return None if table is None else table.get(place.key)

    def put(self, place: _Place, slot: Slot | None) -> None:
        """Put ``slot`` at ``place``, or take away what is there."""
        if place.kind is None:
            self._all = slot
            return
        where = (place.kind, place.field)
        if where not in self._tables:
            self._tables[where] = table(*where)
            self._finders = tuple(table.find for table in self._tables.values())
        self._tables[where].put(place.key, slot)
        if not self._tables[where]:
            del self._tables[where]
            self._finders = tuple(table.find for table in self._tables.values())

    def is_empty(self) -> bool:
        """Whether there is nothing on it."""
        return self._all is None and not self._tables

    def _choice(self, candidates: list[Access]) -> Access | None:
        """The first candidate that is not crowded, else the least crowded one."""
        best, lightest = None, sys.maxsize
        for candidate in candidates:
            table = self._tables.get((candidate.kind, candidate.field))
            weight = 0 if table is None else table.weight(candidate.key)
            if weight < CROWD:
                return candidate
            if weight < lightest:
                best, lightest = candidate, weight
        return best


def _beyond_type(terms: Terms) -> list[Access]:
    """On the shelf of a type, the type tells nothing more."""
    return [access for access in accesses(terms) if access.field != "type"]
