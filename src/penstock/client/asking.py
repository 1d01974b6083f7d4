"""How every question is asked: methods, pages, and places."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from penstock.client.transport import Transport, socket_path

JSON = dict[str, Any]
PAGE = 1000
"""Most entries asked for at once."""


class Asking:
    """Asks the Penstock of a home.

    Args:
        home: One folder for everything; default ``PENSTOCK_HOME``, else the XDG folders.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._home = home
        self._transport = Transport(socket_path(home))

    def _get(self, place: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", place, query)

    def _post(self, place: str, body: JSON | None = None) -> Any:
        return self._ask("POST", place, body=body or {})

    def _ask(
        self, method: str, place: str, query: Mapping[str, Any] | None = None, body: JSON | None = None
    ) -> Any:
        return self._transport.ask(method, place, query, body)

    def _pages(
        self, place: str, noun: str, mark: str, limit: int, query: Mapping[str, Any]
    ) -> Iterator[JSON]:
        chosen = dict(query)
        while limit > 0:
            page = self._get(place, {**chosen, "limit": min(limit, PAGE)})
            yield from page[noun][:limit]
            limit -= len(page[noun])
            if page["next"] is None:
                return
            chosen[mark] = page["next"]


def segment(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def located(path: str | os.PathLike[str]) -> str:
    """Return a path as events have it: absolute, and without links to folders."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)
