"""A TCP proxy that can delay, stall, cut and refuse: a bad network for tests of clients.

::

    with Proxy(("127.0.0.1", 9092)) as proxy:
        client = connect(proxy.address)
        proxy.stall()      # connections stay open, nothing passes
        proxy.resume()     # what was held back passes
        proxy.cut()        # connections are reset; new ones work
        proxy.refuse()     # and new ones are reset, too, until ``resume``

It runs in a thread of its own, so that clients may block.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

CHUNK_BYTES = 1 << 16
"""Most that is read at once, and held back in each direction of a stalled connection."""
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections from a free port of 127.0.0.1.

    Args:
        target: Host and port that connections go to; may be set later, before the first one.

    Attributes:
        port: Where it listens.
        delay_s: How long everything is held back, in each direction, in seconds.
    """

    def __init__(self, target: tuple[str, int] | None = None) -> None:
        self.target = target
        self.delay_s = 0.0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._refusing = False
        self._writers: WeakSet[asyncio.StreamWriter] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stall(self) -> None:
        """Let nothing pass; connections stay open, new ones are accepted and stall, too."""
        self._do(self._set(flowing=False))

    def resume(self) -> None:
        """Let everything pass again, and new connections work."""
        self._refusing = False
        self._do(self._set(flowing=True))

    def cut(self) -> None:
        """Reset all connections; new ones work."""
        self._do(self._reset_all())

    def refuse(self) -> None:
        """Reset all connections and every new one, until ``resume``."""
        self._refusing = True
        self.cut()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._serve, sock=self._listening, limit=CHUNK_BYTES)

    async def _set(self, *, flowing: bool) -> None:
        if flowing:
            self._open.set()
        else:
            self._open.clear()

    async def _end(self) -> None:
        self._server.close()
        await asyncio.sleep(0)  # what was accepted just now gets its task
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._reset_all()
        await asyncio.sleep(0)  # the loop closes what was reset in its next turn
        await asyncio.sleep(0)

    async def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._keep(asyncio.current_task())
        if self._refusing or self.target is None:
            _reset(writer)
            return
        try:
            out_reader, out_writer = await asyncio.open_connection(*self.target, limit=CHUNK_BYTES)
        except OSError:
            _reset(writer)
            return
        self._writers.add(out_writer)
        for ends in ((reader, out_writer), (out_reader, writer)):
            self._keep(self._loop.create_task(self._pass(*ends)))

    def _keep(self, task: asyncio.Task[None] | None) -> None:
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass  # one side has gone; the other is told below
        finally:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
