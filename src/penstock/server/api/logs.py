"""What functions print: of attempts that have ended, and live of one that is under way.

A live log is followed by inotify on its file, and ends with the record on the log that tells of the
attempt's end. Only while a call has been given to a worker but has not begun is it asked for again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from penstock.core import lifecycle
from penstock.core.errors import Invalid, NotFound, PenstockError
from penstock.core.lifecycle import StepEnd, data_of
from penstock.core.rows import AttemptRow
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Operation
from penstock.server.api.runs import find_run
from penstock.server.api.shapes import Text, log_span
from penstock.server.api.stream import MEDIA, EventStream, frame
from penstock.sources.inotify import Inotify, Mask

LOG_BYTES_SHOWN = 4 << 20
"""Of a longer log the end is shown."""
ATTEMPTS_SHOWN = 200
CHUNK_BYTES = 32 << 10
BEGIN_S = 0.05
BEGIN_S_MAX = 1.0
"""Waits between questions whether a call has begun, in seconds."""
_ENDS = frozenset({lifecycle.STEP_SUCCEEDED, lifecycle.STEP_FAILED})
_ended_runs = frozenset(lifecycle.ENDED_TYPE.values())


class LogQuery(Struct, kw_only=True):
    """Whose log is wanted: of all attempts, of a step, or of one attempt (0 is the last one)."""

    step: Text = ""
    item: Annotated[int, Meta(ge=-1, le=1 << 31)] = -1
    attempt: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    follow: bool = False


class LogChunk(Struct):
    """What was printed next."""

    text: str


class LogEnd(Struct, kw_only=True):
    """How the attempt ended."""

    phase: str
    error: str = ""


async def logs(ask: Ask) -> ASGIApp:
    """Give what a run's attempts printed."""
    desk, query, run = ask.desk, ask.query, ask.names["id"]
    await find_run(desk, run)
    if query.follow:
        row = await _attempt(desk, run, query)
        return EventStream(desk, lambda: _follow(desk, row))
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
        return (await _where(desk, row))[0]
    except PenstockError:
        return ""  # the engine is away; what has ended can be shown


async def _where(desk: Desk, row: AttemptRow) -> tuple[str, bool]:
    """Return ``file:start:`` of a call under way, empty before it begins, and whether it is under way."""
    found = await desk.link.ask("log", run=row.run, step=row.step, item=row.item, attempt=row.attempt)
    return str(found["log"]), bool(found["under_way"])


def _texts(folder: Path, spans: list[tuple[AttemptRow, str]]) -> str:
    parts = []
    for row, span in spans:
        if len(spans) > 1:
            item = f" item {row.item}" if row.item >= 0 else ""
            parts.append(f"── {row.step}{item}, attempt {row.attempt}: {row.phase} ──\n")
        file, start, end = log_span(span)
        stop = None if span.endswith(":") else end
        parts.append(_text(folder, file, start, stop) if file else "")
        if parts[-1] and not parts[-1].endswith("\n"):
            parts.append("\n")
    return "".join(parts)


def _text(folder: Path, file: str, start: int, end: int | None) -> str:
    """Read a span of a log (blocking)."""
    try:
        handle = _open(folder, file)
    except NotFound as error:
        return f"({error})\n"
    try:
        end = os.fstat(handle).st_size if end is None else end
        first = max(start, end - LOG_BYTES_SHOWN)
        text = os.pread(handle, max(0, end - first), first).decode("utf-8", "replace")
        return text if first == start else f"(the first {first - start} bytes are left out)\n{text}"
    finally:
        os.close(handle)


def _open(folder: Path, file: str) -> int:
    """Open a log file; nothing but files in the folder of logs is ever opened (blocking)."""
    if not os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep):
        raise NotFound("the log is not where logs are")
    try:
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound("the log was removed, as old ones are") from error


# -- live ------------------------------------------------------------------------------------


async def _follow(desk: Desk, row: AttemptRow) -> AsyncIterator[bytes]:
    start = desk.tail.end
    # Asked again behind the position from which the end is looked for, so that it cannot be missed.
    row = await desk.state.attempt(row.run, row.step, row.item, row.attempt) or row
    if row.ended_ns or row.log:
        async for chunk in _ended(desk, row):
            yield chunk
        return
    ending = asyncio.get_running_loop().create_task(_end_of(desk, row, start))
    try:
        async for chunk in _live(desk, row, ending):
            yield chunk
    finally:
        ending.cancel()


async def _ended(desk: Desk, row: AttemptRow) -> AsyncIterator[bytes]:
    file, start, end = log_span(row.log)
    if file:
        loop = asyncio.get_running_loop()
        yield _chunk(await loop.run_in_executor(None, _text, desk.logs(), file, start, end))
    yield _end(LogEnd(phase=row.phase, error=row.error))


async def _live(desk: Desk, row: AttemptRow, ending: asyncio.Task[StepEnd | None]) -> AsyncIterator[bytes]:
    span = await _begun(desk, row, ending)
    news = asyncio.Event()
    ending.add_done_callback(lambda _task: news.set())
    file, position, _ = log_span(span)
    handle = _open(desk.logs(), file) if file else -1
    notices = _watch(file, news) if file else None
    try:
        while True:
            news.clear()
            end = ending.result() if ending.done() else None
            stop = log_span(end.log)[2] if end is not None and log_span(end.log)[0] == file else None
            for text, behind in _pieces(handle, position, stop):
                position = behind
                yield _chunk(text)
            if ending.done():
                break
            await news.wait()
    finally:
        if notices is not None:
            asyncio.get_running_loop().remove_reader(notices.fd)
            notices.close()
        if handle >= 0:
            os.close(handle)
    yield _end(_end_shown(end))


async def _begun(desk: Desk, row: AttemptRow, ending: asyncio.Task[StepEnd | None]) -> str:
    """Return ``file:start:`` once the call has begun; an empty text if it ends before."""
    delay = BEGIN_S
    while not ending.done():
        span, under_way = await _where(desk, row)
        if span:
            return span
        if not under_way:
            await asyncio.wait({ending})
            break
        await asyncio.wait({ending}, timeout=delay)
        delay = min(2 * delay, BEGIN_S_MAX)
    end = ending.result()
    file, start, _ = log_span(end.log if end is not None else "")
    return f"{file}:{start}:" if file else ""


async def _end_of(desk: Desk, row: AttemptRow, start: int) -> StepEnd | None:
    """Return how the attempt ended, once the log tells of it; None if the run ended without it."""
    while True:
        for entry in await desk.tail.read(start):
            start = entry.offset + 1
            if entry.event.subject != row.run or entry.event.source != lifecycle.SOURCE:
                continue
            if entry.event.type in _ended_runs:
                return None
            if entry.event.type in _ENDS:
                end = data_of(entry.event, StepEnd)
                if (end.step, end.item, end.attempt) == (row.step, row.item, row.attempt):
                    return end
        if start >= desk.tail.end:
            await desk.tail.moved()


def _pieces(handle: int, position: int, stop: int | None) -> Iterator[tuple[str, int]]:
    """Yield what there is from ``position`` up to ``stop``, in whole characters, each with its end."""
    while handle >= 0:
        size = CHUNK_BYTES if stop is None else min(CHUNK_BYTES, stop - position)
        raw = os.pread(handle, size, position) if size > 0 else b""
        if not raw:
            return
        # The last bytes before ``stop`` are all that will ever come.
        whole = len(raw) if stop is not None and position + len(raw) >= stop else _whole(raw)
        if not whole:
            return
        position += whole
        yield raw[:whole].decode("utf-8", "replace"), position


def _whole(raw: bytes) -> int:
    """Return the length of ``raw`` without a character that is cut off at its end."""
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0xC0 == 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(raw) - back if wanted > back else len(raw)
        if byte < 0x80:
            break
    return len(raw)


def _watch(file: str, news: asyncio.Event) -> Inotify:
    notices = Inotify()
    notices.add(os.fsencode(file), Mask.MODIFY)

    def told() -> None:
        notices.read()
        news.set()

    asyncio.get_running_loop().add_reader(notices.fd, told)
    return notices


def _chunk(text: str) -> bytes:
    return frame(msgspec.json.encode(LogChunk(text)), event="log")


def _end(end: LogEnd) -> bytes:
    return frame(msgspec.json.encode(end), event="end")


def _end_shown(end: StepEnd | None) -> LogEnd:
    if end is None:
        return LogEnd(phase="cancelled", error="the run ended before this attempt did")
    return LogEnd(phase="failed" if end.error else "succeeded", error=end.error)


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v1/runs/{id}/logs",
        summary="Give what a run's attempts printed; follow=true streams one that is under way",
        handler=logs,
        query=LogQuery,
        media=("text/plain", MEDIA),
        errors=(404, 422, 429, 503),
    ),
)
