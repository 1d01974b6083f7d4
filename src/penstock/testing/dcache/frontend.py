"""A simulated frontend of dCache: its namespace and event calls over HTTP, as the real client sees them."""

from __future__ import annotations

import asyncio
import posixpath
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from aiohttp import web
from msgspec import Struct

from penstock.testing.dcache.channels import ALL_EVENTS, BEHAVIOUR, MACROS, Channel
from penstock.testing.dcache.namespace import Entry, Namespace, Notice

API = "/api/v1"
CHANNELS_MAX = 128
"""Channels that one user may have."""
TIMEOUTS_S = (1, 86_400)
CLIENT_ID_MAX = 256
_TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


class Login(Struct, frozen=True):
    """Who a token stands for."""

    uid: int
    admin: bool = False


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Trouble(Struct):
    """Calls that go wrong: those whose ``METHOD path`` a pattern finds, so often.

    Attributes:
        pattern: Regular expression.
        status: What they are answered with; 0 cuts the connection.
        times: How many calls are left.
        delay_s: How long the answer takes.
    """

    pattern: str
    status: int = 503
    times: int = 1_000_000
    delay_s: float = 0


class Frontend:
    """The frontend's HTTP service on 127.0.0.1.

    Args:
        root: Folder of the namespace that users see as ``/``.
        base_url: What addresses in answers begin with; where it listens, unless given.
        logins: Tokens and whom they stand for.
        channel_ids: Names of new channels, one after another.

    Attributes:
        namespace: The tree.
        channels: Open ones by id.
        calls: ``METHOD path`` of every call so far.
        troubles: What goes wrong.
        watches_max: Watches that one channel may have.
    """

    def __init__(
        self,
        *,
        root: str = "/",
        base_url: str = "",
        logins: dict[str, Login] | None = None,
        channel_ids: Iterator[str] | None = None,
        **namespace: Any,
    ) -> None:
        self.namespace = Namespace(self._notice, **namespace)
        self.channels: dict[str, Channel] = {}
        self.calls: list[str] = []
        self.troubles: list[Trouble] = []
        self.watches_max = 50_000
        self.root = root
        self._owners: dict[str, int] = {}
        self._logins = logins or {"token": Login(1042), "admin-token": Login(0, admin=True)}
        self._ids = channel_ids or iter(lambda: secrets.token_urlsafe(16), "")
        self._base_url = base_url
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._streaming: set[asyncio.BaseTransport] = set()
        self.namespace.make_folder(root, parents=True)

    # -- life ----------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Frontend:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on the same port as before, if it was stopped."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self, *, shutdown: bool = True) -> None:
        """Stop; channels are forgotten. With ``shutdown`` clients are told."""
        for channel in list(self.channels.values()):
            if shutdown:
                channel.system("SHUTDOWN")
            self._end(channel)
        await asyncio.sleep(0)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def disconnect(self) -> None:
        """Cut every client's event stream."""
        for transport in self._streaming:
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    def expire(self, channel: Channel) -> None:
        """Let a channel end, as if its client had been away for too long."""
        self._end(channel)

    def _end(self, channel: Channel) -> None:
        if self.channels.pop(channel.id, None) is not None:
            channel.close()

    def _notice(self, notice: Notice) -> None:
        for channel in self.channels.values():
            channel.notice(notice)

    # -- calls ---------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        self.calls.append(f"{request.method} {request.raw_path}")
        try:
            await self._suffer(request)
            login = self._login(request)
            rest = path.removeprefix(API)
            if rest.startswith("/events"):
                return await self._events(request, rest, query, login)
            if rest.startswith("/namespace"):
                return await self._namespace(request, rest.removeprefix("/namespace"), query)
            if rest.startswith("/id/") and request.method == "GET":
                return self._by_id(rest.removeprefix("/id/"), query, login)
            if rest == "/user":
                return _json({
                    "status": "AUTHENTICATED", "uid": login.uid, "gids": [2042], "username": "jmueller",
                    "homeDirectory": "/", "rootDirectory": self.root,
                })  # fmt: skip
            raise Refusal(404, "No such call")
        except Refusal as refusal:
            return _error(refusal.status, str(refusal))

    async def _suffer(self, request: web.Request) -> None:
        call = f"{request.method} {request.raw_path}"
        for trouble in self.troubles:
            if trouble.times and re.search(trouble.pattern, call):
                trouble.times -= 1
                if trouble.delay_s:
                    await asyncio.sleep(trouble.delay_s)
                if trouble.status == 0 and request.transport is not None:
                    request.transport.close()
                if trouble.status != 200:
                    raise Refusal(trouble.status or 500, "as the test wants it")

    def _login(self, request: web.Request) -> Login:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        login = self._logins.get(token) if scheme == "Bearer" else None
        if login is None:
            raise Refusal(401, "Permission denied")
        return login

    # -- namespace -----------------------------------------------------------------------------------

    async def _namespace(self, request: web.Request, raw: str, query: str) -> web.Response:
        path = self._inside(unquote(raw))
        entry = self.namespace.find(path)
        if entry is None:
            raise Refusal(404, f"No such file or directory: {unquote(raw)}")
        if request.method == "GET":
            return _json(self._described(entry, parse_qs(query)))
        if request.method == "DELETE":
            return self._change(lambda: self.namespace.remove(path), 200)
        wish = msgspec.json.decode(await request.read())
        if wish.get("action") == "mkdir":
            return self._change(lambda: self.namespace.make_folder(posixpath.join(path, wish["name"])), 201)
        if wish.get("action") == "mv":
            target = wish["destination"]
            new = (
                self._inside(target)
                if target.startswith("/")
                else posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            )
            return self._change(lambda: self.namespace.move(path, new), 201)
        raise Refusal(400, f"Unknown action: {wish.get('action')}")

    def _change(self, change: Callable[[], Entry], status: int) -> web.Response:
        try:
            change()
        except OSError as error:
            raise Refusal(400, str(error)) from error
        return _json({"status": "success"}, status)

    def _by_id(self, pnfsid: str, query: str, login: Login) -> web.Response:
        if not login.admin:
            raise Refusal(403, "Permission denied")
        entry = self.namespace.by_id(pnfsid)
        if entry is None:
            raise Refusal(404, "No such file or directory")
        return _json({**_attributes(entry, parse_qs(query)), "path": entry.path})

    def _described(self, entry: Entry, query: dict[str, list[str]]) -> dict[str, Any]:
        said = _attributes(entry, query)
        if query.get("children") == ["true"] and entry.is_folder:
            first = int(query.get("offset", ["0"])[0])
            children = list(entry.children.values())[first:]
            if "limit" in query:
                children = children[: int(query["limit"][0])]
            said["children"] = [{**_attributes(each, query), "fileName": each.name} for each in children]
        return said

    def _inside(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.root, path.lstrip("/")))

    # -- events --------------------------------------------------------------------------------------

    async def _events(self, request: web.Request, rest: str, query: str, login: Login) -> web.StreamResponse:
        if rest == "/events/channels":
            return await self._all_channels(request, query, login)
        match = re.fullmatch(r"/events/channels/([^/]+)(/subscriptions(?:/([^/]+)(?:/(.+))?)?)?", rest)
        if match is None:
            raise Refusal(404, "No such call")
        identity, subscriptions, kind, _ = match.groups()
        channel = self.channels.get(identity)
        if channel is None:
            raise Refusal(404, "No such channel")
        if self._owners[channel.id] != login.uid:
            raise Refusal(403, "Channel of another user")
        if subscriptions is None:
            return await self._channel(request, channel)
        if kind is None:
            return _json([*(watch.url for watch in channel.watches.values()), *channel.others])
        if request.method == "POST":
            return await self._subscribe(request, channel, kind)
        return self._subscription(request, channel, rest)

    async def _all_channels(self, request: web.Request, query: str, login: Login) -> web.Response:
        own = [each for each in self.channels.values() if self._owners[each.id] == login.uid]
        if request.method == "GET":
            asked = parse_qs(query, keep_blank_values=True).get("client-id")
            return _json([each.url for each in own if asked is None or (each.client_id or "") == asked[0]])
        body = await request.read()
        client = msgspec.json.decode(body).get("client-id") if body else None
        if client is not None and len(client) > CLIENT_ID_MAX:
            raise Refusal(400, "client-id is too long")
        if len(own) >= CHANNELS_MAX:
            raise Refusal(429, "Too many channels")
        identity = next(self._ids)
        url = f"{self._base_url or self.address}{API}/events/channels/{identity}"
        self.channels[identity] = Channel(identity, url, client, self._end)
        self._owners[identity] = login.uid
        return web.Response(status=201, headers={"Location": url})

    async def _channel(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        if request.method == "DELETE":
            self._end(channel)
            return web.Response(status=204)
        if request.method == "PATCH":
            timeout = msgspec.json.decode(await request.read())["timeout"]
            if not TIMEOUTS_S[0] <= timeout <= TIMEOUTS_S[1]:
                raise Refusal(400, "timeout is out of range")
            channel.timeout_s = timeout
            return web.Response(status=204)
        if "text/event-stream" not in request.headers.get("Accept", ""):
            return _json({"timeout": channel.timeout_s})
        return await self._stream(request, channel)

    async def _stream(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        stream = channel.open(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        transport = request.transport
        assert transport is not None
        self._streaming.add(transport)
        try:
            await response.prepare(request)
            while (frames := await stream.next()) is not None:
                await response.write(frames)
        except ConnectionError:
            pass
        finally:
            self._streaming.discard(transport)
            channel.left(stream)
        return response

    async def _subscribe(self, request: web.Request, channel: Channel, kind: str) -> web.Response:
        selector = msgspec.json.decode(await request.read())
        if kind == "metronome":
            return web.Response(
                status=201, headers={"Location": channel.subscribe(kind, next(self._ids), selector)}
            )
        if kind != "inotify":
            raise Refusal(404, "No such event type")
        entry = self._selected(selector)
        if len(channel.watches) >= self.watches_max and entry.pnfsid not in channel.watches:
            raise Refusal(500, "KeeperErrorCode = ConnectionLoss")
        watch, new = channel.watch(entry.pnfsid, selector)
        return web.Response(status=201 if new else 303, headers={"Location": watch.url})

    def _selected(self, selector: dict[str, Any]) -> Entry:
        path, flags = selector.get("path", ""), selector.get("flags", [])
        if not path.startswith("/") or (path != "/" and path.endswith("/")):
            raise Refusal(400, f"Bad selector: path {path!r}")
        unknown = [flag for flag in flags if flag not in (*ALL_EVENTS, *MACROS, *BEHAVIOUR)]
        if unknown:
            raise Refusal(400, f"Bad selector: flags {unknown}")
        entry = self.namespace.find(self._inside(path))
        if entry is None:
            raise Refusal(400, f"Not found: Problem with path: {path}")
        if "IN_ONLYDIR" in flags and not entry.is_folder:
            raise Refusal(400, f"Failed condition: {path} is no directory")
        return entry

    def _subscription(self, request: web.Request, channel: Channel, rest: str) -> web.Response:
        url = f"{self._base_url or self.address}{API}{rest}"
        watch = next((each for each in channel.watches.values() if each.url == url), None)
        if watch is None and url not in channel.others:
            raise Refusal(404, "No such subscription")
        if request.method == "GET":
            return _json(watch.selector if watch is not None else channel.others[url])
        if watch is not None:
            channel.unwatch(watch)
        else:
            channel.unsubscribe(url)
        return web.Response(status=204)


def _attributes(entry: Entry, query: dict[str, list[str]]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "fileMimeType": "application/vnd.dcache.folder" if entry.is_folder else "application/octet-stream",
        "fileType": entry.kind,
        "pnfsId": entry.pnfsid,
        "nlink": 1,
        "mtime": entry.mtime_ms,
        "creationTime": entry.created_ms,
        "mode": 493 if entry.is_folder else 420,
        "size": 512 if entry.is_folder else entry.size,
    }
    if query.get("locality") == ["true"]:
        said["fileLocality"] = entry.locality
    if query.get("checksum") == ["true"] and entry.checksum:
        said["checksums"] = [{"type": "ADLER32", "value": entry.checksum}]
    if query.get("optional") == ["true"]:
        said |= {"owner": entry.owner, "group": entry.group}
    return said


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _error(status: int, detail: str) -> web.Response:
    return _json({"status": str(status), "title": _TITLES.get(status, "Error"), "detail": detail}, status)
