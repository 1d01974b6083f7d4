"""The installation as a whole."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from penstock.server.api.shapes.coverage import HeardView, TreeView


class Replayed(Struct, kw_only=True):
    """What a replay runs, or would; ``events`` has the first ones only."""

    trigger: str
    events: list[str]
    count: int


class BackedUp(Struct, kw_only=True):
    """A backup."""

    folder: str
    records: int


class Status(Struct, kw_only=True):
    """How the installation is. ``engine`` is null while the engine is away; see ``Coverage`` for the rest."""

    version: str
    page: str
    log_end: int
    streams: int
    engine: dict[str, Any] | None
    runs: dict[str, int]
    dead_letters: dict[str, int]
    trees: list[TreeView] = []
    silent: list[HeardView] = []


class Health(Struct, kw_only=True):
    """All is well."""

    ok: bool


class Visit(Struct, kw_only=True):
    """An address that opens the page once."""

    url: str


class Done(Struct, kw_only=True):
    """It was done to this."""

    id: str
