"""A frontend of dCache over HTTP: namespace, event channels, subscriptions. One method per call.

Redirects are not followed, and addresses in answers are sent back byte for byte, to the configured host only:
a token goes nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from msgspec import Raw, Struct
from yarl import URL

from penstock.core.errors import ConnectionLost, NotFound, Refused, Throttled, Timeout, Unavailable
from penstock.sources.dcache.settings import FrontendSettings
from penstock.sources.dcache.sse import Frame, FrameReader

API = "/api/v1"
LOGIN_RETRY_S = 60.0
"""How long to wait when a token was refused; somebody has to renew it first."""
BUSY_RETRY_S = 10.0
KEEPALIVE_S = (60, 20, 3)
"""A silent connection is checked by the kernel after so long, then so often, so many times."""
_STREAM = "text/event-stream"


class Checksum(Struct):
    """One checksum: ``ADLER32`` and eight digits, say."""

    type: str
    value: str


class Attributes(Struct):
    """What the namespace says of an entry; names are dCache's, times in milliseconds."""

    pnfsId: str
    fileType: str
    mtime: int
    size: int = 0
    fileName: str = ""
    fileLocality: str = ""
    checksums: list[Checksum] = []
    owner: int | None = None
    group: int | None = None


class Described(Struct):
    """An entry: what is read of it, and the answer as it came."""

    attributes: Attributes
    raw: Raw


class _Listing(Struct):
    children: list[Raw] = []


class _User(Struct):
    status: str = ""
    rootDirectory: str = "/"


class _Problem(Struct):
    detail: str = ""


class Forbidden(Refused):
    """This login may not see or watch it."""


class Odd(Unavailable):
    """The frontend fails at this one call, and will again: about this entry nothing can be had."""


class NoFolder(NotFound):
    """What is to be watched is no folder, or not there."""


_attributes = msgspec.json.Decoder(Attributes).decode
_listing = msgspec.json.Decoder(_Listing).decode
_WANTED = "locality=true&checksum=true&optional=true"


class Frontend:
    """The calls. Use as ``async with``; the token is read when it is entered.

    Raises (each call):
        Unavailable: It is away, slow, or wants a new token; the message says which.
        Refused: It will never answer this.
    """

    def __init__(self, settings: FrontendSettings) -> None:
        self._settings = settings
        self._base = settings.frontend.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(settings.queries)

    async def __aenter__(self) -> Frontend:
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

    # -- namespace -----------------------------------------------------------------------------------

    async def root(self) -> str:
        """Return the folder of the namespace that this login sees as ``/``, without a slash at its end."""
        if self._settings.root is not None:
            return self._settings.root.rstrip("/")
        _, body, _ = await self._call("GET", f"{API}/user")
        user = msgspec.json.decode(body, type=_User)
        if user.status == "ANONYMOUS":
            raise self._unauthenticated("it takes us for nobody")
        return user.rootDirectory.rstrip("/")

    async def describe(self, path: str) -> Described | None:
        """Return what is at a path, or None.

        Raises:
            Forbidden: We may not see it.
        """
        try:
            _, body, _ = await self._call("GET", f"{API}/namespace{_escaped(path)}?{_WANTED}")
        except NotFound:
            return None
        return self._described(path, Raw(body))

    async def children(self, path: str, offset: int, limit: int) -> list[Described]:
        """Return one page of what is in a folder; nothing behind its end, or if it is gone.

        Raises:
            Forbidden: We may not list it.
        """
        query = f"children=true&{_WANTED}&limit={limit}&offset={offset}"
        try:
            _, body, _ = await self._call("GET", f"{API}/namespace{_escaped(path)}?{query}")
        except NotFound:
            return []
        return [self._described(path, raw) for raw in self._read(path, _listing, body).children]

    async def path_of(self, pnfsid: str) -> str | None:
        """Return the path of a file by its pnfsid; None if it is gone, or we are no admin."""
        try:
            _, body, _ = await self._call("GET", f"{API}/id/{quote(pnfsid, safe='')}")
        except (NotFound, Forbidden):
            return None
        found = msgspec.json.decode(body)
        path = found.get("path") if isinstance(found, dict) else None
        return path if isinstance(path, str) and path.startswith("/") else None

    def _described(self, path: str, raw: Raw) -> Described:
        return Described(self._read(path, _attributes, raw), raw)

    def _read(self, path: str, decode: Any, body: bytes | Raw) -> Any:
        try:
            return decode(body)
        except msgspec.MsgspecError as error:
            raise Unavailable(
                f"{self._base} describes {path!r} in words we cannot read: {error}", BUSY_RETRY_S
            ) from error

    # -- channels ------------------------------------------------------------------------------------

    async def make_channel(self, client: str, timeout_s: int) -> str:
        """Return the address of a new channel, kept for ``timeout_s`` while nobody listens."""
        url, _ = await self._made(f"{API}/events/channels", {"client-id": client})
        await self._call("PATCH", url, {"timeout": timeout_s})
        return url

    async def end_channel(self, channel: str) -> None:
        """End a channel, if it has not ended."""
        try:
            await self._call("DELETE", channel)
        except NotFound:
            return

    async def listen(self, channel: str, last_id: int) -> Stream:
        """Return the stream of a channel from behind ``last_id`` on; -1 is from now on.

        Raises:
            NotFound: The channel has ended.
        """
        headers = {"Accept": _STREAM} | ({"Last-Event-ID": str(last_id)} if last_id >= 0 else {})
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s)
        response = await self._send("GET", channel, headers=headers, timeout=limit)
        await self._check(response)
        _keep_alive(response)
        return Stream(response, self._base)

    async def anchor(self, channel: str) -> bool:
        """Have one event sent that says nothing, so that there is a number to come back to.

        Returns:
            Whether it will come.
        """
        wish = {"delay": 0.01, "count": 1, "message": "begin"}
        try:
            await self._made(f"{channel}/subscriptions/metronome", wish)
        except (Refused, Odd):
            return False
        return True

    async def subscribe(self, channel: str, path: str, flags: Sequence[str]) -> tuple[str, bool] | None:
        """Watch a folder: the subscription's address, and whether it is new; None if there is no folder.

        Raises:
            Forbidden: We may not list it.
            Odd: The frontend takes no further watch.
        """
        selector = {"path": path, "flags": list(flags)}
        try:
            return await self._made(f"{channel}/subscriptions/inotify", selector)
        except NoFolder:
            return None
        except NotFound as error:
            raise ConnectionLost(f"the event channel has ended: {error}") from error

    async def unsubscribe(self, subscription: str) -> None:
        """End a subscription, if it has not ended."""
        try:
            await self._call("DELETE", subscription)
        except NotFound:
            return

    # -- HTTP ----------------------------------------------------------------------------------------

    async def _made(self, path: str, body: Any) -> tuple[str, bool]:
        """Return the address of what was made, and whether it was not there before."""
        status, _, location = await self._call("POST", path, body)
        if not location:
            raise Unavailable(f"POST {self._base}{path}: the answer has no Location", BUSY_RETRY_S)
        return self.ours(location), status == 201

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, str]:
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

    async def _send(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        assert self._session is not None
        try:
            return await self._session.request(
                method, URL(self._base + path, encoded=True), allow_redirects=False, **options
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
        told = f"{response.method} {self._base}{response.url.raw_path}: {status} {detail}".rstrip()
        if status == 401:
            raise self._unauthenticated(detail)
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

    def _unauthenticated(self, why: str) -> Unavailable:
        secret = self._settings.token
        where = f"in {secret.file}" if secret.file is not None else f"in the variable {secret.env}"
        return Unavailable(f"{self._base} refuses the token {where} ({why}); renew it", LOGIN_RETRY_S)

    def _away(self, error: BaseException) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Timeout(f"{self._base} does not answer in {self._settings.answer_s:g} s", 10.0)
        return ConnectionLost(f"{self._base} cannot be reached: {error}")

    def ours(self, url: str) -> str:
        """Return the path of an address in an answer, byte for byte, if it is on our host."""
        parts, own = urlsplit(url), urlsplit(self._base)
        if parts.netloc and parts.netloc.lower() != own.netloc.lower():
            raise Refused(
                f"the frontend {self._base} answers with an address on {parts.netloc}; set 'frontend' to "
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


def _escaped(path: str) -> str:
    return quote(path, safe="/")
