"""The API process: doors opened, application served, ended with its parent. It wakes for requests only."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any

import msgspec
import uvicorn
import uvloop
from starlette.routing import BaseRoute

from penstock.server import messages, serve_log
from penstock.server.api.access import Keys
from penstock.server.api.app import build_app
from penstock.server.api.desk import Desk
from penstock.server.api.doors import (
    ADDRESS_NAME,
    SOCKET_NAME,
    Door,
    kept_token,
    open_loopback,
    open_unix,
    write_private,
)
from penstock.server.api.receive import open_receiver, receiver_config
from penstock.server.page import routes
from penstock.server.settings import Places, Settings, load

logger = logging.getLogger("penstock.api")
PLACES = "PENSTOCK_PLACES"
GRACE_S = 2.0
"""How long answers under way may take when the process ends, in seconds."""
CONNECTIONS_MAX = 4096
IDLE_CONNECTION_S = 30
_PR_SET_PDEATHSIG = 1


class QuietServer(uvicorn.Server):
    """uvicorn without its ten wake-ups a second: it sleeps until it is told to leave."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        """Serve, and end the streams of ``desk`` when told to leave."""
        super().__init__(config)
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._leaving = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait to be told to leave."""
        await self._leaving.wait()

    def leave(self) -> None:
        """End, soon; from the loop's thread."""
        self.should_exit = True
        self._leaving.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Take a signal."""
        self._loop.call_soon_threadsafe(self.leave)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, let other answers come to their end, close everything."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for task in list(self._desk.streams):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=GRACE_S)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.close()
        await self.lifespan.shutdown()


class InnerServer(QuietServer):
    """A second server of the process: signals are the first one's."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Take none."""
        return nullcontext()


def main() -> int:
    """Serve the installation that the environment names, until the parent ends or a signal comes."""
    serve_log.start()
    places = msgspec.json.decode(os.environ[PLACES], type=Places, dec_hook=_path)
    _end_with_parent()
    _raise_open_files()
    settings = load(places.config)
    messages.take_form(settings.messages)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, places, page_routes))
    return 0


def _path(kind: type, value: Any) -> Any:
    return kind(value)


def page_routes(desk: Desk) -> Sequence[BaseRoute]:
    """Return the routes of the web page."""
    return routes(desk.principal)


async def serve(settings: Settings, places: Places, page: Any = page_routes) -> None:
    """Serve until told to leave.

    Args:
        settings: The installation's.
        places: The same.
        page: Called with the desk; returns the routes of the web page.
    """
    folder = places.runtime
    unix, loopback = open_unix(folder), open_loopback(settings.port)
    port = loopback.getsockname()[1]
    desk = Desk(settings, places, Keys(kept_token(folder), port))
    desk.open()
    server = QuietServer(_config(build_app(desk, page(desk))), desk)
    watching = _watch_parent(server)
    address = {"port": port, "pid": os.getpid(), "socket": str(folder / SOCKET_NAME)}
    write_private(folder / ADDRESS_NAME, msgspec.json.encode(address))
    logger.info("the API is at %s, the page at http://127.0.0.1:%s/", folder / SOCKET_NAME, port)
    outside = _receiver(desk, settings)
    try:
        await server.serve([unix, loopback])
    finally:
        if outside is not None:
            outside.cancel()
        if watching:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        for name in (ADDRESS_NAME, SOCKET_NAME):
            (folder / name).unlink(missing_ok=True)
        await desk.close()


def _receiver(desk: Desk, settings: Settings) -> asyncio.Task[None] | None:
    """Open the door for outside systems, if the settings want it."""
    if not settings.receive.port:
        return None
    listener = open_receiver(settings.receive)
    server = InnerServer(receiver_config(desk, settings.receive), desk)
    return asyncio.get_running_loop().create_task(server.serve([listener]))


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Door,
        ws="none",
        lifespan="off",
        access_log=False,  # addresses may carry a token
        log_config=None,
        log_level="warning",
        date_header=False,  # ours, made per answer and not per second
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=IDLE_CONNECTION_S,
        h11_max_incomplete_event_size=None,
    )


def _watch_parent(server: QuietServer) -> bool:
    """End when the parent closes our standard input; not where that is a terminal or nothing."""
    if sys.stdin is None or sys.stdin.isatty():
        return False

    def told() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            server.leave()

    try:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), told)
    except OSError:
        return False  # a plain file or /dev/null never tells anything
    return True


def _end_with_parent() -> None:
    """Have the kernel end us when the parent's thread ends, should the pipe not tell."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _raise_open_files() -> None:
    """Allow as many open files as the system lets us, for streams."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
