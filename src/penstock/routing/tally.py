"""Counting how many keys share a property."""

from __future__ import annotations


class Tally(dict[int, int]):
    """How many keys have each property; what none has is absent."""

    __slots__ = ()

    def count(self, property: int, by: int) -> None:
        """Count one key more (1) or less (-1)."""
        number = self.get(property, 0) + by
        if number:
            self[property] = number
        else:
            del self[property]
