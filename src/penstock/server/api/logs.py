"""What functions print: of attempts that have ended, and live of one that is under way (``live_log``)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from penstock.core.errors import Invalid, NotFound, PenstockError
from penstock.core.rows import AttemptRow
from penstock.server.api.desk import Desk
from penstock.server.api.live_log import follow, where
from penstock.server.api.log_file import text_in
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.shapes import Text, log_span
from penstock.server.api.stream import MEDIA, EventStream
from penstock.server.api.whole_run import find_run

ATTEMPTS_SHOWN = 200
LAG_S_MAX = 2.0
"""Longest wait until the state has an end that the engine knows already, in seconds."""


class LogQuery(Struct, kw_only=True):
    """Whose log is wanted: of all attempts, of a step, or of one attempt (0 is the last one)."""

    step: Text = ""
    item: Annotated[int, Meta(ge=-1, le=1 << 31)] = -1
    attempt: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    follow: bool = False


async def logs(ask: Ask) -> ASGIApp:
    """Give what a run's attempts printed."""
    desk, query, run = ask.desk, ask.query, ask.names["id"]
    await find_run(desk, run)
    if query.follow:
        row = await _attempt(desk, run, query)
        return EventStream(desk, lambda: follow(desk, row))
    rows = await _chosen(desk, run, query)
    text = await asyncio.get_running_loop().run_in_executor(
        None, _texts, desk.logs(), await _spans(desk, rows)
    )
    return PlainTextResponse(text)


async def _chosen(desk: Desk, run: str, query: LogQuery) -> list[AttemptRow]:
    if query.attempt or query.item >= 0:
        return [await _attempt(desk, run, query)]
    rows = await desk.state.attempts(run, query.step or None, ATTEMPTS_SHOWN)
    if query.step and not rows:
        raise NotFound(f"step {query.step[:80]!r} of run {run} has not been tried; is it a step of this run?")
    return rows


async def _attempt(desk: Desk, run: str, query: LogQuery) -> AttemptRow:
    step = query.step or await _only_step(desk, run)
    row = await desk.state.attempt(run, step, query.item, query.attempt)
    if row is None:
        raise NotFound(
            f"run {run} has no attempt {query.attempt or ''} of step {step[:80]!r}"
            + (f", item {query.item}" if query.item >= 0 else "; of a map, name the item")
        )
    return row


async def _only_step(desk: Desk, run: str) -> str:
    rows = await desk.state.attempts(run, None, ATTEMPTS_SHOWN)
    steps = list(dict.fromkeys(row.step for row in rows))
    if len(steps) != 1:
        raise Invalid(f"name the 'step'; tried were: {', '.join(steps[:20]) or 'none so far'}")
    return steps[0]


async def _spans(desk: Desk, rows: list[AttemptRow]) -> list[tuple[AttemptRow, str]]:
    return [(row, row.log or await _live_span(desk, row)) for row in rows]


async def _live_span(desk: Desk, row: AttemptRow) -> str:
    if row.ended_ns:
        return ""
    try:
        span, under_way = await where(desk, row)
        return span if span or under_way else (await _committed(desk, row)).log
    except PenstockError:
        return ""  # the engine is away; what has ended can be shown


async def _committed(desk: Desk, row: AttemptRow) -> AttemptRow:
    """Return an attempt that has ended once its end can be read in the state, which lags behind a little."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAG_S_MAX):
            while not row.ended_ns:
                moved = asyncio.ensure_future(desk.tail.moved())
                try:
                    row = await desk.state.attempt(row.run, row.step, row.item, row.attempt) or row
                    if not row.ended_ns:
                        await moved
                finally:
                    moved.cancel()
    return row


def _texts(folder: Path, spans: list[tuple[AttemptRow, str]]) -> str:
    parts = []
    for row, span in spans:
        if len(spans) > 1:
            item = f" item {row.item}" if row.item >= 0 else ""
            parts.append(f"── {row.step}{item}, attempt {row.attempt}: {row.phase} ──\n")
        file, start, end = log_span(span)
        stop = None if span.endswith(":") else end
        parts.append(text_in(folder, file, start, stop) if file else "")
        if parts[-1] and not parts[-1].endswith("\n"):
            parts.append("\n")
    return "".join(parts)


_runs = Noun("/api/v1/runs")
OPERATIONS = (
    _runs.get(
        "Give what a run's attempts printed; follow=true streams one that is under way",
        logs,
        below="/{id}/logs",
        query=LogQuery,
        media=("text/plain", MEDIA),
        errors=(404, 429),
    ),
)
