"""The two doors: a Unix socket for this user's programs, a loopback port for browsers."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import stat
import struct
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.core.errors import Unavailable
from penstock.server.api.access import DOOR, UNIX

logger = logging.getLogger("penstock.api")
SOCKET_NAME = "api.sock"
TOKEN_NAME = "token"  # noqa: S105 - a file's name
ADDRESS_NAME = "api.json"
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}")
BACKLOG = 512
HEAD_S_MAX = 20.0
"""A connection that has asked for nothing after so many seconds is closed."""
BUFFER_BYTES = 16 << 10
"""Unsent bytes of a connection at which its writer waits."""
_CREDENTIALS = struct.Struct("3i")
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n"
    b'{"type":"urn:penstock:problem:forbidden","title":"Forbidden","status":403,'
    b'"detail":"this Penstock belongs to another user"}'
)


class Door(HttpToolsProtocol):
    """uvicorn's protocol, told by which door a connection came, and for whom the kernel vouches."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a connection in, or refuse another user's."""
        peer = transport.get_extra_info("socket")
        if peer.family == socket.AF_UNIX:
            uid = _peer_uid(peer)
            if uid not in (os.getuid(), 0):
                logger.warning("user id %s was refused at the Unix socket", uid)
                transport.write(_REFUSAL)
                transport.close()
                return
            self.app_state = {**self.app_state, DOOR: UNIX}
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEAD_S_MAX, transport.close)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the connection was refused."""
        if self.transport is not None:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_patience()
        if self.transport is not None:
            super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._forget_patience()
        super().on_headers_complete()

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _peer_uid(peer: Any) -> int:
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def open_unix(folder: Path) -> socket.socket:
    """Listen on the Unix socket in ``folder``; both are for this user alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / SOCKET_NAME
    path.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        found.bind(str(path))
    except OSError as error:
        raise Unavailable(f"{path} cannot be listened on: {error}") from error
    finally:
        os.umask(before)
    found.listen(BACKLOG)
    return found


def open_loopback(port: int) -> socket.socket:
    """Listen on the loopback; another port is taken, and told of, where this one is taken already."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
    except OSError as error:
        found.bind(("127.0.0.1", 0))
        logger.warning("port %s is not to be had (%s); %s is used", port, error, found.getsockname()[1])
    found.listen(BACKLOG)
    return found


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, content)
    finally:
        os.close(file)
    fresh.replace(path)


def kept_token(folder: Path) -> str:
    """Return the token in the file ``token``, so that open pages outlive a restart; or make one.

    A file that others may read, or that is not ours, is replaced: who knows it must not come in.
    """
    try:
        file = os.open(folder / TOKEN_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return make_token(folder)
    try:
        found, about = os.read(file, 1024), os.fstat(file)
    finally:
        os.close(file)
    private = stat.S_ISREG(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077
    if private and _TOKEN.fullmatch(found):
        return found.decode()
    logger.warning("the token in %s was not private, or is none; a new one is made", folder / TOKEN_NAME)
    return make_token(folder)


def make_token(folder: Path) -> str:
    """Draw a token of 256 bits and leave it in the file ``token``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = secrets.token_urlsafe(32)
    write_private(folder / TOKEN_NAME, token.encode())
    return token
