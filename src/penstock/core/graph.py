"""Directed graphs as ``name -> names directly before it``: who stands before whom, and rings."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def followers(before: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return the names directly behind each name, each once, in the order of ``before``."""
    behind: dict[str, list[str]] = {name: [] for name in before}
    for name, others in before.items():
        for other in dict.fromkeys(others):
            behind[other].append(name)
    return behind


def reachable(edges: Mapping[str, Collection[str]], names: Collection[str]) -> list[str]:
    """Return ``names`` and all that can be reached from them along ``edges``, nearest first."""
    found = list(dict.fromkeys(names))
    seen = set(found)
    for name in found:  # grows while it is walked
        new = [other for other in dict.fromkeys(edges[name]) if other not in seen]
        seen.update(new)
        found.extend(new)
    return found


def ancestors(before: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """Return all names before each name, however far; names in a ring, or behind one, are absent."""
    behind = followers(before)
    waiting = {name: len(set(others)) for name, others in before.items()}
    ordered = [name for name, count in waiting.items() if count == 0]
    found: dict[str, frozenset[str]] = {}
    for name in ordered:  # grows while it is walked
        found[name] = frozenset(before[name]).union(*(found[other] for other in before[name]))
        for follower in behind[name]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ordered.append(follower)
    return found


def ring_in(before: Mapping[str, Collection[str]]) -> list[str]:
    """Return one ring, in running order, its first name also last.

    Args:
        before: Only names that wait, directly or not, for a ring: those ``ancestors`` leaves out.
    """
    path = [next(iter(before))]
    while True:
        other = next(other for other in before[path[-1]] if other in before)
        if other in path:
            return [other, *reversed(path[path.index(other) :])]
        path.append(other)
