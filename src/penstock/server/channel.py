"""The engine's door for commands: a Unix socket with mode 0600, one JSON object per frame.

A frame is its length (u32, little-endian) and that many bytes. ``{"id", "do", "with"}`` asks;
``{"id", "result"}`` or ``{"id", "error"}`` answers. ``{"end", "state"}`` is pushed to those who asked to
``follow``: the offsets up to which the log is durable, and up to which others can read in the state what
it led to.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Conflict, PenstockError, Unavailable

logger = logging.getLogger("penstock.channel")
FRAME_BYTES_MAX = 64 << 20
FOLLOWER_BYTES_MAX = 1 << 20
"""Unread pushes after which a follower is cut off; it connects again and is told the newest end."""


class Ask(Struct):
    """What a client wants."""

    id: int
    do: str
    with_: Raw = msgspec.field(name="with", default=Raw(b"{}"))


class Problem(Struct, omit_defaults=True):
    """Why it was not done; ``kind`` is the class in ``core.errors``."""

    kind: str
    message: str
    faults: tuple[str, ...] = ()


Handler = Callable[[str, Raw], Awaitable[Any]]
_ask = msgspec.json.Decoder(Ask)
_encode = msgspec.json.Encoder().encode


class Channel:
    """Listens on ``path`` and hands each request to ``handle``; requests run side by side."""

    def __init__(self, path: Path, handle: Handler) -> None:
        """Do not listen yet."""
        self.path = path
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._followers: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._end = 0
        self._state = 0
        self._scheduled = False

    async def open(self) -> None:
        """Begin to listen; a socket file that nobody answers on is replaced.

        Raises:
            Conflict: An engine answers there.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists():
            try:
                _, writer = await asyncio.open_unix_connection(str(self.path))
            except OSError:
                self.path.unlink()
            else:
                writer.close()
                raise Conflict("Penstock is already running here; `penstock status` shows it")
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._client, str(self.path))
        except OSError as error:
            raise Unavailable(
                f"cannot listen at {self.path}: {error}. A socket's path may have 107 bytes: "
                "choose a shorter --home, or set XDG_RUNTIME_DIR"
            ) from error
        finally:
            os.umask(before)

    def durable_to(self, end: int) -> None:
        """Tell followers, once per turn of the loop, that the log is durable up to ``end``."""
        self._end = end
        self._schedule()

    def committed_to(self, offset: int) -> None:
        """Tell followers, too, that state has what the log up to ``offset`` led to."""
        if offset > self._state:
            self._state = offset
            self._schedule()

    def _schedule(self) -> None:
        if self._followers and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._push)

    def _push(self) -> None:
        self._scheduled = False
        frame = self._news()
        for writer in list(self._followers):
            writer.write(frame)
            if writer.transport.get_write_buffer_size() > FOLLOWER_BYTES_MAX:
                writer.close()

    def _news(self) -> bytes:
        return _frame({"end": self._end, "state": self._state})

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "little")
                if size > FRAME_BYTES_MAX:
                    words = f"a request of {size} bytes is too large; at most {FRAME_BYTES_MAX} are taken"
                    writer.write(_frame({"id": 0, "error": Problem("Invalid", words)}))
                    return
                ask = _ask.decode(await reader.readexactly(size))
                if ask.do == "follow":
                    self._followers.add(writer)
                    writer.write(self._news())
                    continue
                task = asyncio.get_running_loop().create_task(self._answer(ask, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                await writer.drain()  # who does not read answers gets no more of them
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
            return
        finally:
            self._followers.discard(writer)
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        try:
            answer = {"id": ask.id, "result": await self._handle(ask.do, ask.with_)}
        except PenstockError as error:
            answer = {"id": ask.id, "error": _problem(error)}
        except msgspec.ValidationError as error:
            answer = {"id": ask.id, "error": Problem("Invalid", f"{ask.do}: {error}")}
        except OSError as error:
            answer = {"id": ask.id, "error": Problem("Failed", f"{ask.do}: {error}")}
        except Exception as error:
            # The outermost loop of a request: whoever asked must not wait for ever.
            logger.exception("%s failed", ask.do)
            answer = {"id": ask.id, "error": Problem("Broken", f"{ask.do}: {type(error).__name__}: {error}")}
        if not writer.is_closing():
            writer.write(_frame(answer))

    async def close(self) -> None:
        """Stop listening."""
        if self._server is None:
            return  # the socket there is another engine's
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        self.path.unlink(missing_ok=True)


def _frame(message: Any) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(4, "little") + body


def _problem(error: PenstockError) -> Problem:
    faults = tuple(getattr(error, "faults", ()))
    message = str(error).split("\n", 1)[0] if faults else str(error)
    return Problem(type(error).__name__, message, faults)


class ChannelClient:
    """The other side of the channel, for the API process and for tools."""

    def __init__(
        self,
        path: Path,
        ended: Callable[[int], None] | None = None,
        committed: Callable[[int], None] = lambda _offset: None,
    ) -> None:
        """Connect later to ``path``; ``ended`` and ``committed`` are called with what is pushed."""
        self.path = path
        self._ended = ended
        self._committed = committed
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._last = 0
        self.gone = asyncio.Event()

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: No engine answers.
        """
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(self.path))
        except OSError as error:
            raise Unavailable("Penstock is not running here; start it with `penstock serve`") from error
        self._task = asyncio.get_running_loop().create_task(self._read(reader))
        if self._ended is not None:
            self._writer.write(_frame({"id": 0, "do": "follow"}))

    async def ask(self, do: str, with_: Any = None) -> Any:
        """Ask for something and return the result.

        Raises:
            PenstockError: What the engine raised.
            Unavailable: The engine went away.
        """
        if self._writer is None or self.gone.is_set():
            raise Unavailable("the engine is not there")
        self._last += 1
        future = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        self._writer.write(_frame({"id": self._last, "do": do, "with": with_ or {}}))
        answer = msgspec.json.decode(await future)
        if "error" in answer:
            raise _raised(answer["error"])
        return answer["result"]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "little")
                self._take(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
            for future in self._waiting.values():
                future.set_exception(Unavailable("the engine went away"))
            self._waiting.clear()

    def _take(self, body: bytes) -> None:
        head = msgspec.json.decode(body, type=dict[str, Raw])
        if "end" in head:
            if self._ended is not None:
                self._ended(msgspec.json.decode(head["end"], type=int))
                self._committed(msgspec.json.decode(head["state"], type=int))
            return
        future = self._waiting.pop(msgspec.json.decode(head["id"], type=int), None)
        if future is not None and not future.done():
            future.set_result(body)

    async def close(self) -> None:
        """Disconnect."""
        if self._writer is not None:
            self._writer.close()
        if self._task is not None:
            await self._task


def _raised(problem: dict[str, Any]) -> PenstockError:
    from penstock.core import errors

    kind = getattr(errors, problem["kind"], PenstockError)
    if kind is errors.Invalid:
        return errors.Invalid(problem["message"], tuple(problem.get("faults", ())))
    if kind is errors.Trimmed:
        return errors.Trimmed(problem["message"], "0")
    error = kind(problem["message"])
    assert isinstance(error, PenstockError)
    return error
