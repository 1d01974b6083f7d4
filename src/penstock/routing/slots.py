"""What is filed under one key: the names of filters, and what is left to check for them.

Most keys lead to one name with nothing left to check; their slot is that name itself, which keeps a
million filters small. All others are a ``Bucket``.
"""

from __future__ import annotations

from penstock.core.filter import All, View, compile_filter
from penstock.core.filter.predicate import Predicate
from penstock.routing.access import Terms


class Guard:
    """Filters with the same terms left to check; the check is compiled when it is first needed."""

    __slots__ = ("names", "terms", "wants")

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.names: dict[str, None] = {}
        self.wants: Predicate | None = None

    def collect(self, view: View, found: list[str]) -> None:
        """Add the names to ``found`` if the terms want the event."""
        if self.wants is None:
            self.wants = compile_filter(All(self.terms))
        if self.wants(view):
            found.extend(self.names)


class Bucket:
    """Several filters under one key."""

    __slots__ = ("guards", "sure")

    def __init__(self) -> None:
        self.sure: dict[str, None] = {}
        self.guards: dict[Terms, Guard] = {}

    def collect(self, view: View, found: list[str]) -> None:
        """Add to ``found`` the names of the filters that want the event."""
        found.extend(self.sure)
        for guard in self.guards.values():
            guard.collect(view, found)


Slot = str | Bucket


def weight(slot: Slot | None) -> int:
    """Return how many checks an event costs that is led to this slot."""
    if isinstance(slot, Bucket):
        return len(slot.guards) + 1
    return 0 if slot is None else 1


def joined(slot: Slot | None, name: str, rest: Terms) -> Slot:
    """Return the slot with one more filter, of which ``rest`` is left to check."""
    if slot is None and not rest:
        return name
    bucket = slot if isinstance(slot, Bucket) else Bucket()
    if isinstance(slot, str):
        bucket.sure[slot] = None
    if rest:
        guard = bucket.guards.get(rest)
        if guard is None:
            guard = bucket.guards[rest] = Guard(rest)
        guard.names[name] = None
    else:
        bucket.sure[name] = None
    return bucket


def parted(slot: Slot, name: str, rest: Terms) -> Slot | None:
    """Return the slot without this filter, or None if it was the last one."""
    if isinstance(slot, str):
        return None
    if rest:
        names = slot.guards[rest].names
        del names[name]
        if not names:
            del slot.guards[rest]
    else:
        del slot.sure[name]
    return slot if slot.sure or slot.guards else None


def take(slot: Slot, view: View, found: list[str]) -> None:
    """Add to ``found`` the names of the filters in the slot that want the event."""
    if isinstance(slot, str):
        found.append(slot)
    else:
        slot.collect(view, found)
