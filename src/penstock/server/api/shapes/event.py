"""Events, and what was decided for them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from penstock.core.rows import Decision
from penstock.server.api.history import Entry
from penstock.server.api.shapes.fields import filled


class EventEntry(Struct, kw_only=True):
    """An event at its place in the log; ``event`` is a CloudEvent in the JSON format."""

    offset: int
    appended: str
    event: dict[str, Any]


class EventPage(Struct, kw_only=True):
    """Events; ``next`` is where to go on (as ``until`` newest first, as ``since`` oldest first)."""

    events: list[EventEntry]
    next: int | None
    end: int


class DecisionView(Struct, kw_only=True):
    """What was decided for an event and a trigger."""

    trigger: str
    outcome: str
    run: str
    reason: str


class EventView(Struct, kw_only=True):
    """One event and what became of it."""

    offset: int
    appended: str
    event: dict[str, Any]
    decisions: list[DecisionView]


class Taken(Struct, kw_only=True):
    """An event that was taken in; ``new`` is false if it was known already."""

    id: str
    new: bool


def decision_view(row: Decision) -> DecisionView:
    """Return a decision."""
    return filled(DecisionView, row)


def event_entry(entry: Entry) -> EventEntry:
    """Return an entry of the log."""
    return msgspec.json.decode(entry.json, type=EventEntry)
