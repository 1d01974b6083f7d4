"""Published files. Only what state remembers as a run's output is ever served, and only as it was published.

They are the content of users' functions: shown by themselves they run nothing (a sandbox), and a browser
takes them for nothing but what their name says.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.core.errors import Invalid, NotFound
from penstock.core.rows import AttemptRow, OutputRow
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.shapes import OutputView

OUTPUTS_MAX = 1000
"""Most outputs of one run that are listed."""
CHUNK_BYTES = 256 << 10
LOOK_ALIKES_MAX = 1000
PLAIN = "application/octet-stream"
IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
}
TEXTS = {
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".json": "application/json",
}
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def media_of(path: str) -> str:
    """Return the content type that a path's suffix stands for."""
    suffix = os.path.splitext(path)[1].lower()
    return IMAGES.get(suffix) or TEXTS.get(suffix) or PLAIN


def output_views(attempts: Sequence[AttemptRow]) -> list[OutputView]:
    """Return the outputs that attempts published, numbered in their order."""
    views: list[OutputView] = []
    for row in attempts:
        for path in msgspec.json.decode(row.outputs, type=list[str]):
            if len(views) == OUTPUTS_MAX:
                return views
            views.append(_view(row, path, len(views)))
    return views


def _view(row: AttemptRow, path: str, number: int) -> OutputView:
    media = media_of(path)
    return OutputView(
        number=number,
        path=path,
        step=row.step,
        item=row.item,
        media=media,
        image=media in IMAGES.values(),
        href=f"/api/v1/runs/{row.run}/outputs/{number}",
    )


async def outputs_of(desk: Desk, run: str) -> list[OutputView]:
    """Return what a run has published, the first ``OUTPUTS_MAX``."""
    rows = await desk.state.published(run, OUTPUTS_MAX)
    return output_views([row for row in rows if row.tenant == desk.tenant])


async def output(ask: Ask) -> ASGIApp:
    """Give a published file's content."""
    run, text = ask.names["id"], ask.names["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise Invalid(f"{text[:80]!r} is no output's number; the run's 'outputs' have them, from 0")
    views = await outputs_of(ask.desk, run)
    if int(text) >= len(views):
        raise NotFound(f"run {run[:80]!r} has no output {text}; it has {len(views)}")
    view = views[int(text)]
    row = await _recorded(ask.desk, view.path)
    if row.run != run:
        raise NotFound(f"{view.path} has been published anew by run {row.run}; look there")
    return Content(*await asyncio.get_running_loop().run_in_executor(None, _open, row, view.path), view)


async def _recorded(desk: Desk, text: str) -> OutputRow:
    """Return the record of an output by its path as text, which may not be faithful."""
    row = await desk.state.output(text.encode("utf-8", "replace"))
    if row is None:
        known = text.split("\ufffd", 1)[0].encode("utf-8", "replace")
        rows = await desk.state.outputs_between(known, known + b"\xff" * 8, LOOK_ALIKES_MAX)
        row = next((each for each in rows if each.path.decode("utf-8", "replace") == text), None)
    if row is None or row.tenant != desk.tenant:
        raise NotFound(f"{text} is not on record as an output")
    return row


def _open(row: OutputRow, shown: str) -> tuple[int, int]:
    """Return an open descriptor and the size, if what is there is what was published (blocking)."""
    try:
        file = os.open(row.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"{shown} cannot be read any more: {error.strerror}") from error
    found = os.fstat(file)
    # What was published was written before, and inodes are used again.
    same = found.st_ino == row.inode and found.st_mtime_ns <= row.published_ns
    if not stat.S_ISREG(found.st_mode) or not same:
        os.close(file)
        raise NotFound(f"{shown} is not what was published; somebody has replaced or changed it")
    return file, found.st_size


class Content:
    """ASGI application that sends an open file, and closes it.

    Args:
        file: Open descriptor.
        size: In bytes.
        view: What it is.
    """

    def __init__(self, file: int, size: int, view: OutputView) -> None:
        self._file = file
        self._size = size
        self._view = view

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await self._send(scope, send)
        finally:
            os.close(self._file)

    async def _send(self, scope: Scope, send: Send) -> None:
        shown = "attachment" if self._view.media == PLAIN else "inline"
        name = quote(self._view.path.rsplit("/", 1)[-1], safe="")
        headers = {
            "content-type": self._view.media,
            "content-length": str(self._size),
            "content-disposition": f"{shown}; filename*=UTF-8''{name}",
            "content-security-policy": SANDBOX,
        }
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        sent, loop = 0, asyncio.get_running_loop()
        while sent < self._size and scope["method"] != "HEAD":
            size = min(CHUNK_BYTES, self._size - sent)
            chunk = await loop.run_in_executor(None, os.pread, self._file, size, sent)
            if not chunk:
                # It was cut off meanwhile: the connection breaks, so that nobody takes this for the whole.
                return
            sent += len(chunk)
            more = sent < self._size
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
        if not self._size or scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})


_runs = Noun("/api/v1/runs")
OPERATIONS = (
    _runs.get(
        "Give the content of a published file",
        output,
        below="/{id}/outputs/{number}",
        media=tuple(sorted({PLAIN, *IMAGES.values(), *(text.partition(";")[0] for text in TEXTS.values())})),
        errors=(404,),
    ),
)
