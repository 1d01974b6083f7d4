"""A simulated frontend of dCache: its namespace and event calls over HTTP, as the real client sees them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from msgspec import Struct

from penstock.testing.dcache.answers import Refusal, json_answer, problem
from penstock.testing.dcache.channels import Channel
from penstock.testing.dcache.event_calls import EventCalls
from penstock.testing.dcache.namespace import Namespace, Notice
from penstock.testing.dcache.namespace_calls import NamespaceCalls

API = "/api/v1"


class Login(Struct, frozen=True):
    """Who a token stands for."""

    uid: int
    admin: bool = False


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
        events: Its event calls: channels, watches.
        calls: ``METHOD path`` of every call so far.
        troubles: What goes wrong.
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
        self.calls: list[str] = []
        self.troubles: list[Trouble] = []
        self.root = root
        self._logins = logins or {"token": Login(1042), "admin-token": Login(0, admin=True)}
        self._paths = NamespaceCalls(self.namespace, root)
        self.events = EventCalls(
            lambda: (base_url or self.address) + API,
            channel_ids or iter(lambda: secrets.token_urlsafe(16), ""),
            lambda path: self.namespace.find(self._paths.inside(path)),
        )
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.namespace.make_folder(root, parents=True)

    # -- life ----------------------------------------------------------------------------------------

    @property
    def channels(self) -> dict[str, Channel]:
        """Open channels by id."""
        return self.events.channels

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
            self.events.end(channel)
        await asyncio.sleep(0)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def disconnect(self) -> None:
        """Cut every client's event stream."""
        self.events.disconnect()

    def expire(self, channel: Channel) -> None:
        """Let a channel end, as if its client had been away for too long."""
        self.events.end(channel)

    def _notice(self, notice: Notice) -> None:
        self.events.notice(notice)

    # -- calls ---------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        self.calls.append(f"{request.method} {request.raw_path}")
        try:
            await self._suffer(request)
            login = self._login(request)
            rest = path.removeprefix(API)
            if rest.startswith("/events"):
                return await self.events.answer(request, rest, query, login.uid)
            if rest.startswith("/namespace"):
                return await self._paths.answer(request, rest.removeprefix("/namespace"), query)
            if rest.startswith("/id/") and request.method == "GET":
                return self._paths.by_id(rest.removeprefix("/id/"), query, admin=login.admin)
            if rest == "/user":
                return json_answer({
                    "status": "AUTHENTICATED", "uid": login.uid, "gids": [2042], "username": "jmueller",
                    "homeDirectory": "/", "rootDirectory": self.root,
                })  # fmt: skip
            raise Refusal(404, "No such call")
        except Refusal as refusal:
            return problem(refusal.status, str(refusal))

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
