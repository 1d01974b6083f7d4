"""Why something ran, or did not."""

from __future__ import annotations

from msgspec import Struct

from penstock.server.api.shapes.event import DecisionView, EventEntry
from penstock.server.api.shapes.run import AttemptView, OutputView, RunSummary


class Account(Struct, kw_only=True):
    """Why one trigger wanted an event, or why not; ``miss`` says in a word by what it missed it."""

    trigger: str
    workflow: str
    wanted: bool
    outcome: str
    sentences: list[str]
    tree: list[str]
    run: RunSummary | None
    attempts: list[AttemptView]
    outputs: list[OutputView]
    miss: str = ""


class FileAccount(Struct, kw_only=True):
    """What is known of a path."""

    path: str
    storage: str
    exists: bool
    ignored: bool
    known: bool
    generation: int
    published_by: str


class Misses(Struct, kw_only=True):
    """Triggers that did not want an event, all for one reason; ``triggers`` has the first ones' names."""

    why: str
    count: int
    triggers: list[str]


class PastEvent(Struct, kw_only=True):
    """One of the events about a file, with what was decided for it and the runs that it started."""

    offset: int
    appended: str
    type: str
    decisions: list[DecisionView]
    runs: list[RunSummary]


class Explained(Struct, kw_only=True):
    """Why something did or did not run; ``told`` says it in sentences, the most important first.

    Of ``triggers`` those that wanted the event come first, then those that missed it most nearly;
    ``misses`` counts all that missed it. ``earlier`` are the offsets of other events about the file, newest
    first; ``events``, if they were asked for, are all of them.
    """

    told: list[str]
    file: FileAccount | None
    event: EventEntry | None
    earlier: list[int]
    triggers: list[Account]
    triggers_more: int
    misses: list[Misses] = []
    events: list[PastEvent] = []
