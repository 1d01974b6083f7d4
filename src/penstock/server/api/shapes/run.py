"""Runs with their steps, attempts, outputs and jobs."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from penstock.core.event import path_of
from penstock.core.rows import AttemptRow, RunRow
from penstock.server.api.shapes.event import EventEntry
from penstock.server.api.shapes.fields import filled
from penstock.server.api.times import when


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


def run_summary(row: RunRow) -> RunSummary:
    """Return a run for a list."""
    return filled(
        RunSummary,
        row,
        event=row.event_id,
        path=path_of(row.subject).decode("utf-8", "replace"),
        started=when(row.started_ns),
        ended=when(row.ended_ns),
    )


def attempt_view(row: AttemptRow) -> AttemptView:
    """Return an attempt."""
    _, first, end = log_span(row.log)
    return filled(
        AttemptView, row, started=when(row.started_ns), ended=when(row.ended_ns), log_bytes=end - first
    )


def job_view(row: AttemptRow) -> JobView:
    """Return an attempt as the job that it is."""
    return filled(
        JobView,
        row,
        state=row.phase,
        system=row.place,
        started=when(row.started_ns),
        ended=when(row.ended_ns),
    )


def log_span(text: str) -> tuple[str, int, int]:
    """Return file, first byte and last byte of ``file:start:end``; an empty file if there is none."""
    file, _, numbers = text.rpartition(":")
    file, _, start = file.rpartition(":")
    if not start.isdigit() or not (numbers.isdigit() or numbers == ""):
        return "", 0, 0
    return file, int(start), int(numbers or start)
