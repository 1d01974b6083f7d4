"""Whose turn it is: at most so many of a kind are under way at once, the others wait in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable


class Turns:
    """Names under way and waiting, by kind. Pure: it only keeps account."""

    def __init__(self) -> None:
        self._kinds: dict[str, Hashable] = {}
        self._under_way: dict[Hashable, set[str]] = {}
        self._waiting: dict[Hashable, deque[str]] = {}

    def ask(self, kind: Hashable, name: str, most: int) -> bool:
        """Return whether ``name`` may go now, ``most`` of its kind being allowed; else it waits."""
        self._kinds[name] = kind
        under_way = self._under_way.setdefault(kind, set())
        if len(under_way) < most:
            under_way.add(name)
            return True
        self._waiting.setdefault(kind, deque()).append(name)
        return False

    def is_waiting(self, name: str) -> bool:
        """Whether ``name`` has asked and may not go yet."""
        return name in self._kinds and name not in self._under_way[self._kinds[name]]

    def leave(self, name: str) -> str | None:
        """Take a name out, and return the one that may go in its place. Unknown names are ignored."""
        kind = self._kinds.pop(name, None)
        if kind is None:
            return None
        under_way, waiting = self._under_way[kind], self._waiting.get(kind, deque())
        following = None
        if name not in under_way:
            waiting.remove(name)
        else:
            under_way.discard(name)
            if waiting:
                following = waiting.popleft()
                under_way.add(following)
        if not waiting:
            self._waiting.pop(kind, None)
        if not under_way:
            del self._under_way[kind]
        return following
