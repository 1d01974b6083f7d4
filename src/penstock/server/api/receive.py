"""The door for outside systems: ``POST /api/v1/sources/NAME`` and nothing else, on an address of its own.

A storage that posts its notices knows no token of ours. Who may post is for the source to say: it checks
the secret that was set up with it (see ``core.ports.Receiver``). A request is acknowledged when its events
are on disk; until then, and when it is refused, the sender keeps them.
"""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.core.errors import PenstockError, Unavailable
from penstock.server.api.desk import Desk
from penstock.server.api.problems import TooLarge, on_bug, on_error, on_http_error
from penstock.server.settings import ReceiveOptions

BODY_BYTES_MAX = 4 << 20
"""Longest request."""
CONNECTIONS_MAX = 1024
BACKLOG = 512


def build_receiver(desk: Desk) -> Starlette:
    """Return the application."""

    async def take(request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        await desk.link.ask(
            "receive", source=request.path_params["name"], headers=headers, body=await _body(request)
        )
        return Response(status_code=204)

    return Starlette(
        routes=[Route("/api/v1/sources/{name}", take, methods=["POST"])],
        exception_handlers={PenstockError: on_error, HTTPException: on_http_error, Exception: on_bug},
    )


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise TooLarge(f"the request is longer than {BODY_BYTES_MAX} bytes; send fewer records at once")
    return b"".join(parts)


def open_receiver(options: ReceiveOptions) -> socket.socket:
    """Listen where the settings say.

    Raises:
        Unavailable: The address is not to be had.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"[receive]: {options.host} port {options.port} cannot be listened on: {error}"
        ) from error


def receiver_config(desk: Desk, options: ReceiveOptions) -> uvicorn.Config:
    """Return how the application is served; by TLS where a certificate is set."""
    return uvicorn.Config(
        build_receiver(desk),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        ssl_certfile=options.certificate or None,
        ssl_keyfile=options.key or None,
    )
