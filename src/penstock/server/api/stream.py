"""Server-sent events: frames written at the client's pace, an end noticed at once, nothing sent when idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.types import Receive, Scope, Send

from penstock.core.errors import PenstockError, Throttled
from penstock.server.api.desk import Desk
from penstock.server.api.problems import problem_of, response_of

logger = logging.getLogger("penstock.api")
STREAMS_MAX = 2000
"""Streams at once."""
WRITE_BYTES = 16 << 10
"""About the most that is written at once, so that a slow client holds no more than this."""
MEDIA = "text/event-stream"


def frame(data: bytes, *, cursor: str = "", event: str = "") -> bytes:
    """Return one server-sent event; ``data`` is JSON.

    Line breaks in JSON are spaces between its parts, and would end the frame.
    """
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    head = (f"id: {cursor}\n" if cursor else "") + (f"event: {event}\n" if event else "")
    return b"%bdata: %b\n\n" % (head.encode(), data)


class EventStream:
    """ASGI application that sends what ``chunks`` yields, until it or the client ends.

    A chunk is some whole frames. The next one is asked for when the client has taken the last one, so
    that each client holds one chunk at most.

    Args:
        desk: Keeps count of streams.
        chunks: Called once the client is let in.
    """

    def __init__(self, desk: Desk, chunks: Callable[[], AsyncIterator[bytes]]) -> None:
        self._desk = desk
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        if len(self._desk.streams) >= 2 * STREAMS_MAX:
            error = Throttled(f"{STREAMS_MAX} streams are open already, which is the limit", 5.0)
            await response_of(error)(scope, receive, send)
            return
        headers = [(b"content-type", MEDIA.encode()), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        # A comment at once, so that the client knows that the stream stands.
        await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
        await self._serve(receive, send)

    async def _serve(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        sending = loop.create_task(self._send_all(send))
        tasks = {sending, loop.create_task(_gone(receive))}
        self._desk.streams |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._desk.streams -= tasks
        if not sending.cancelled() and sending.exception() is not None:
            logger.error("a stream broke", exc_info=sending.exception())

    async def _send_all(self, send: Send) -> None:
        try:
            async for chunk in self._chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except PenstockError as error:
            problem = frame(msgspec.json.encode(problem_of(error)), event="problem")
            await send({"type": "http.response.body", "body": problem, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
