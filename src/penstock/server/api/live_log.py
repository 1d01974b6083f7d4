"""What one attempt prints, live: followed by inotify on its file.

It ends with the record on the log that tells of the attempt's end. Only while a call has been given to a
worker but has not begun is it asked for again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import msgspec
from msgspec import Struct

from penstock.core import lifecycle
from penstock.core.lifecycle import StepEnd, data_of
from penstock.core.rows import AttemptRow
from penstock.server.api.desk import Desk
from penstock.server.api.log_file import open_log, text_in
from penstock.server.api.shapes import log_span
from penstock.server.api.stream import frame
from penstock.sources.inotify import Inotify, Mask

CHUNK_BYTES = 32 << 10
BEGIN_S = 0.05
BEGIN_S_MAX = 1.0
"""Waits between questions whether a call has begun, in seconds."""
_ENDS = frozenset({lifecycle.STEP_SUCCEEDED, lifecycle.STEP_FAILED})
_ended_runs = frozenset(lifecycle.ENDED_TYPE.values())


class LogChunk(Struct):
    """What was printed next."""

    text: str


class LogEnd(Struct, kw_only=True):
    """How the attempt ended."""

    phase: str
    error: str = ""


async def follow(desk: Desk, row: AttemptRow) -> AsyncIterator[bytes]:
    """Yield what an attempt prints, from its beginning to its end, as server-sent events."""
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
        yield _chunk(await loop.run_in_executor(None, text_in, desk.logs(), file, start, end))
    yield _end(LogEnd(phase=row.phase, error=row.error))


async def _live(desk: Desk, row: AttemptRow, ending: asyncio.Task[StepEnd | None]) -> AsyncIterator[bytes]:
    span = await _begun(desk, row, ending)
    news = asyncio.Event()
    ending.add_done_callback(lambda _task: news.set())
    file, position, _ = log_span(span)
    handle = open_log(desk.logs(), file) if file else -1
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
        span, under_way = await where(desk, row)
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


async def where(desk: Desk, row: AttemptRow) -> tuple[str, bool]:
    """Return ``file:start:`` of a call under way, empty before it begins, and whether it is under way."""
    found = await desk.link.ask("log", run=row.run, step=row.step, item=row.item, attempt=row.attempt)
    return str(found["log"]), bool(found["under_way"])


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
