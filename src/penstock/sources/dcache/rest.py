"""HTTP to a frontend of dCache: one session, a bound on calls under way, errors in our words.

Redirects are not followed, and addresses in answers are sent back byte for byte, to the configured host only:
a token goes nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from penstock.core.errors import ConnectionLost, NotFound, Refused, Throttled, Timeout, Unavailable
from penstock.sources.dcache.settings import FrontendSettings
from penstock.sources.dcache.sse import Frame, FrameReader

LOGIN_RETRY_S = 60.0
"""How long to wait when a token was refused; somebody has to renew it first."""
BUSY_RETRY_S = 10.0
KEEPALIVE_S = (60, 20, 3)
"""A silent connection is checked by the kernel after so long, then so often, so many times."""


class Forbidden(Refused):
    """This login may not see or watch it."""


class Odd(Unavailable):
    """The frontend fails at this one call, and will again: about this entry nothing can be had."""


class NoFolder(NotFound):
    """What is to be watched is no folder, or not there."""


class _Problem(Struct):
    detail: str = ""


class Rest:
    """The calls under way. Use as ``async with``; the token is read when it is entered.

    Raises (each call):
        Unavailable: It is away, slow, or wants a new token; the message says which.
        Refused: It will never answer this.
    """

    def __init__(self, settings: FrontendSettings) -> None:
        self._settings = settings
        self.base = settings.frontend.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(settings.queries)

    async def __aenter__(self) -> Rest:
        settings = self._settings
        token = settings.token.read()
        context = ssl.create_default_context(cafile=settings.ca) if settings.frontend[4] == "s" else True
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}", "Suppress-WWW-Authenticate": "1"},
            connector=aiohttp.TCPConnector(ssl=context, limit=settings.queries + 1),
            timeout=aiohttp.ClientTimeout(total=settings.answer_s, sock_connect=settings.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def made(self, path: str, body: Any) -> tuple[str, bool]:
        """Return the address of what was made, and whether it was not there before."""
        status, _, location = await self.call("POST", path, body)
        if not location:
            raise Unavailable(f"POST {self.base}{path}: the answer has no Location", BUSY_RETRY_S)
        return self.ours(location), status == 201

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, str]:
        """Make a call; return status, body and Location of its answer."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if data else {})
        async with self._slots:
            response = await self._send(method, path, headers=headers, data=data)
            try:
                await self._check(response)
                return response.status, await response.read(), response.headers.get("Location", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._away(error) from error
            finally:
                response.release()

    async def listen(self, path: str, headers: dict[str, str]) -> Stream:
        """Open an event stream."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s)
        wanted = {"Accept": "text/event-stream", **headers}
        response = await self._send("GET", path, headers=wanted, timeout=limit)
        await self._check(response)
        _keep_alive(response)
        return Stream(response, self.base)

    async def _send(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        assert self._session is not None
        try:
            return await self._session.request(
                method, URL(self.base + path, encoded=True), allow_redirects=False, **options
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status < 300 or status == 303:
            return
        try:
            detail = _detail(await response.content.read(1 << 16)) or response.reason or ""
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error
        response.close()
        told = f"{response.method} {self.base}{response.url.raw_path}: {status} {detail}".rstrip()
        if status == 401:
            raise self.unauthenticated(detail)
        if status == 403 or "Permission denied:" in detail:
            raise Forbidden(told)
        if status == 404:
            raise NotFound(told)
        if status == 400 and detail.startswith(("Not found:", "Failed condition:")):
            raise NoFolder(told)
        if status == 429:
            raise Throttled(f"{told}. It gives no further channel to this user: end some", BUSY_RETRY_S)
        if status in (502, 503, 504):
            raise Unavailable(told, BUSY_RETRY_S)
        if status >= 500:
            raise Odd(told, BUSY_RETRY_S)
        raise Refused(told)

    def unauthenticated(self, why: str) -> Unavailable:
        """Return the error that says where the token is kept that was refused."""
        secret = self._settings.token
        where = f"in {secret.file}" if secret.file is not None else f"in the variable {secret.env}"
        return Unavailable(f"{self.base} refuses the token {where} ({why}); renew it", LOGIN_RETRY_S)

    def _away(self, error: BaseException) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Timeout(f"{self.base} does not answer in {self._settings.answer_s:g} s", 10.0)
        return ConnectionLost(f"{self.base} cannot be reached: {error}")

    def ours(self, url: str) -> str:
        """Return the path of an address in an answer, byte for byte, if it is on our host."""
        parts, own = urlsplit(url), urlsplit(self.base)
        if parts.netloc and parts.netloc.lower() != own.netloc.lower():
            raise Refused(
                f"the frontend {self.base} answers with an address on {parts.netloc}; set 'frontend' to "
                f"{parts.scheme}://{parts.netloc}, because channels live in one frontend"
            )
        return url[len(f"{parts.scheme}://{parts.netloc}") :] if parts.netloc else url


class Stream:
    """One connection's events. It ends by ``Unavailable`` only."""

    def __init__(self, response: aiohttp.ClientResponse, base: str) -> None:
        self._response = response
        self._base = base

    async def frames(self) -> AsyncIterator[list[Frame]]:
        """Yield what has come, as it comes.

        Raises:
            ConnectionLost: The frontend ended the stream, or is gone.
        """
        reader = FrameReader()
        try:
            async for piece in self._response.content.iter_any():
                if frames := list(reader.feed(piece)):
                    yield frames
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionLost(f"the event stream of {self._base} broke: {error}") from error
        raise ConnectionLost(f"the event stream of {self._base} has ended")

    def close(self) -> None:
        """Cut the connection."""
        self._response.close()


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Let the kernel find out about a peer that vanished: an idle stream is silent for ever."""
    transport = response.connection.transport if response.connection is not None else None
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    for option, value in zip(names, KEEPALIVE_S, strict=True):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _detail(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except msgspec.MsgspecError:
        return body[:200].decode("utf-8", "replace")
