"""What the API answers, as structs: the same names in JSON, in the OpenAPI document and on the page.

Times are RFC 3339 in UTC; absent means that it has not happened.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import path_of
from penstock.core.rows import AttemptRow, DeadLetter, RunRow
from penstock.server.api.history import Entry
from penstock.server.api.times import when

Limit = Annotated[int, Meta(ge=1, le=1000, description="Most entries.")]
Number = Annotated[int, Meta(ge=0, le=1 << 53)]
Text = Annotated[str, Meta(max_length=4096)]
POOL = "pool"


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


class RunSummary(Struct, kw_only=True):
    """A run in a list."""

    id: str
    workflow: str
    trigger: str
    event: str
    subject: str
    path: str
    phase: str
    started: str | None
    ended: str | None
    error: str


class RunPage(Struct, kw_only=True):
    """Runs, newest first; ``next`` goes on as ``before``."""

    runs: list[RunSummary]
    next: str | None


class OutputView(Struct, kw_only=True):
    """A published file. ``href`` gives its content, as long as it is this run's."""

    number: int
    path: str
    step: str
    item: int
    media: str
    image: bool
    href: str


class AttemptView(Struct, kw_only=True):
    """One try of a step; ``item`` is -1 where the step is no map."""

    step: str
    item: int
    attempt: int
    phase: str
    place: str
    function: str
    started: str | None
    ended: str | None
    error: str
    log_bytes: int


class ItemsView(Struct, kw_only=True):
    """A map, summarised; ``errors`` has the first failed items by place in the list."""

    total: int
    waiting: int
    running: int
    retrying: int
    succeeded: int
    failed: int
    errors: dict[str, str]


class StepView(Struct, kw_only=True):
    """A step of a run. ``result`` is null where there is none, or where it is larger than is shown."""

    name: str
    function: str
    phase: str
    attempt: int
    error: str
    blocked_by: str
    batch: str
    after: list[str]
    result: Any
    result_bytes: int
    items: ItemsView | None
    attempts: list[AttemptView]
    attempts_total: int


class Edge(Struct, kw_only=True):
    """An arrow of a workflow's graph."""

    before: str
    after: str


class RunView(Struct, kw_only=True):
    """A run, whole."""

    run: RunSummary
    generation: int
    depth: int
    principal: str
    trigger_name: str
    steps: list[StepView]
    edges: list[Edge]
    outputs: list[OutputView]
    outputs_more: bool
    event: EventEntry | None
    cause: str | None
    children: list[RunSummary]


class RunStarted(Struct, kw_only=True):
    """The id of a run."""

    run: str


class FunctionView(Struct, kw_only=True):
    """A function at one version."""

    name: str
    version: int
    reference: str
    summary: str
    kind: str
    entry: str
    command: list[str]
    outputs: str
    concurrency: int
    limits: dict[str, Any]
    deployed: str | None


class StepPlan(Struct, kw_only=True):
    """A step as its workflow has it."""

    name: str
    function: str
    after: list[str]
    when: str
    each: str
    batch: str


class WorkflowView(Struct, kw_only=True):
    """A workflow at one version."""

    name: str
    version: int
    reference: str
    summary: str
    steps: list[StepPlan]
    edges: list[Edge]
    deployed: str | None


class TriggerView(Struct, kw_only=True):
    """A trigger; ``since`` is the offset of the first event that it may see."""

    id: str
    name: str
    workflow: str
    principal: str
    filter: Any
    paused: bool
    since: int
    deployed: str | None


class Deployed(Struct, kw_only=True):
    """What a deployment contains; ``new`` are the versions that were not there before."""

    functions: list[str]
    workflows: list[str]
    triggers: list[str]
    new: list[str]
    existing: int = 0


class JobView(Struct, kw_only=True):
    """A step that a batch system carries out."""

    run: str
    step: str
    item: int
    attempt: int
    state: str
    system: str
    function: str
    started: str | None
    ended: str | None
    error: str


class LetterSummary(Struct, kw_only=True):
    """A dead letter in a list."""

    id: str
    kind: str
    subject: str
    reason: str
    run: str
    state: str
    at: str | None


class LetterView(Struct, kw_only=True):
    """A dead letter; ``event`` is what it holds where that is JSON, else ``text``."""

    letter: LetterSummary
    event: Any
    text: str


class LetterPage(Struct, kw_only=True):
    """Dead letters, newest first; ``next`` goes on as ``before``."""

    dead_letters: list[LetterSummary]
    next: str | None


class Account(Struct, kw_only=True):
    """Why one trigger wanted an event, or why not."""

    trigger: str
    workflow: str
    wanted: bool
    outcome: str
    sentences: list[str]
    tree: list[str]
    run: RunSummary | None
    attempts: list[AttemptView]
    outputs: list[OutputView]


class FileAccount(Struct, kw_only=True):
    """What is known of a path."""

    path: str
    storage: str
    exists: bool
    ignored: bool
    known: bool
    generation: int
    published_by: str


class Explained(Struct, kw_only=True):
    """Why something did or did not run; ``told`` says it in sentences, the most important first."""

    told: list[str]
    file: FileAccount | None
    event: EventEntry | None
    earlier: list[int]
    triggers: list[Account]
    triggers_more: int


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
    """How the installation is. ``engine`` is null while the engine is away."""

    version: str
    page: str
    log_end: int
    streams: int
    engine: dict[str, Any] | None
    runs: dict[str, int]
    dead_letters: dict[str, int]


class Health(Struct, kw_only=True):
    """All is well."""

    ok: bool


class Visit(Struct, kw_only=True):
    """An address that opens the page once."""

    url: str


class Done(Struct, kw_only=True):
    """It was done to this."""

    id: str


def event_entry(entry: Entry) -> EventEntry:
    """Return an entry of the log."""
    return msgspec.json.decode(entry.json, type=EventEntry)


def run_summary(row: RunRow) -> RunSummary:
    """Return a run for a list."""
    return RunSummary(
        id=row.id,
        workflow=row.workflow,
        trigger=row.trigger,
        event=row.event_id,
        subject=row.subject,
        path=path_of(row.subject).decode("utf-8", "replace"),
        phase=row.phase,
        started=when(row.started_ns),
        ended=when(row.ended_ns),
        error=row.error,
    )


def attempt_view(row: AttemptRow) -> AttemptView:
    """Return an attempt."""
    return AttemptView(
        step=row.step,
        item=row.item,
        attempt=row.attempt,
        phase=row.phase,
        place=row.place,
        function=row.function,
        started=when(row.started_ns),
        ended=when(row.ended_ns),
        error=row.error,
        log_bytes=log_span(row.log)[2] - log_span(row.log)[1],
    )


def log_span(text: str) -> tuple[str, int, int]:
    """Return file, first byte and last byte of ``file:start:end``; an empty file if there is none."""
    file, _, numbers = text.rpartition(":")
    file, _, start = file.rpartition(":")
    if not start.isdigit() or not (numbers.isdigit() or numbers == ""):
        return "", 0, 0
    return file, int(start), int(numbers or start)


def letter_summary(row: DeadLetter) -> LetterSummary:
    """Return a dead letter for a list."""
    return LetterSummary(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        reason=row.reason,
        run=row.run,
        state=row.state,
        at=when(row.at_ns),
    )


def page_mark(at_ns: int, key: str) -> str:
    """Return the text by which a list goes on."""
    return f"{at_ns}-{key}"


def read_mark(text: str) -> tuple[int, str] | None:
    """Return what ``page_mark`` wrote; None for an empty text.

    Raises:
        Invalid: It is no such text.
    """
    if not text:
        return None
    at, dash, key = text.partition("-")
    if not (dash and at.isascii() and at.isdigit() and len(at) < 20):
        raise Invalid(f"'before' is {text!r}; expected what an earlier answer gave as 'next'")
    return int(at), key


def json_or_none(raw: bytes | Raw) -> Any:
    """Return decoded JSON, or None where it is none that can be read."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
