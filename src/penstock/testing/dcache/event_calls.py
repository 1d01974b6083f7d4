"""The event calls of a simulated frontend: channels, subscriptions, streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from penstock.testing.dcache.answers import Refusal, json_answer
from penstock.testing.dcache.channels import ALL_EVENTS, BEHAVIOUR, MACROS, TIMEOUT_S, Channel
from penstock.testing.dcache.namespace import Entry, Notice

CHANNELS_MAX = 128
"""Channels that one user may have."""
TIMEOUTS_S = (1, 86_400)
CLIENT_ID_MAX = 256


class EventCalls:
    """Answers ``/events``.

    Args:
        base: Returns what addresses begin with.
        ids: Names of new channels.
        selected: Returns the entry at a user's path, or None.

    Attributes:
        channels: Open ones by id.
        watches_max: Watches that one channel may have.
        timeout_s_max: How long a channel may be kept while nobody listens.
    """

    def __init__(
        self, base: Callable[[], str], ids: Iterator[str], selected: Callable[[str], Entry | None]
    ) -> None:
        self.channels: dict[str, Channel] = {}
        self.watches_max = 50_000
        self.timeout_s_max = TIMEOUTS_S[1]
        self._base = base
        self._ids = ids
        self._entry = selected
        self._owners: dict[str, int] = {}
        self._streaming: set[asyncio.BaseTransport] = set()

    def notice(self, notice: Notice) -> None:
        """Tell every channel of what happened."""
        for channel in self.channels.values():
            channel.notice(notice)

    def end(self, channel: Channel) -> None:
        """End a channel."""
        if self.channels.pop(channel.id, None) is not None:
            channel.close()

    def disconnect(self) -> None:
        """Cut every client's event stream."""
        for transport in self._streaming:
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    async def answer(self, request: web.Request, rest: str, query: str, uid: int) -> web.StreamResponse:
        """Answer a call about channels, subscriptions or events."""
        if rest == "/events":
            times = {"minimum": TIMEOUTS_S[0], "maximum": self.timeout_s_max, "default": TIMEOUT_S}
            limits = {"maximumPerUser": CHANNELS_MAX, "lifetimeWhenDisconnected": times}
            return json_answer({"channels": limits})
        if rest == "/events/channels":
            return await self._all_channels(request, query, uid)
        match = re.fullmatch(r"/events/channels/([^/]+)(/subscriptions(?:/([^/]+)(?:/(.+))?)?)?", rest)
        if match is None:
            raise Refusal(404, "No such call")
        identity, subscriptions, kind, _ = match.groups()
        channel = self.channels.get(identity)
        if channel is None:
            raise Refusal(404, "No such channel")
        if self._owners[channel.id] != uid:
            raise Refusal(403, "Channel of another user")
        if subscriptions is None:
            return await self._channel(request, channel)
        if kind is None:
            return json_answer([*(watch.url for watch in channel.watches.values()), *channel.others])
        if request.method == "POST":
            return await self._subscribe(request, channel, kind)
        return self._subscription(request, channel, rest)

    async def _all_channels(self, request: web.Request, query: str, uid: int) -> web.Response:
        own = [each for each in self.channels.values() if self._owners[each.id] == uid]
        if request.method == "GET":
            asked = parse_qs(query, keep_blank_values=True).get("client-id")
            return json_answer(
                [each.url for each in own if asked is None or (each.client_id or "") == asked[0]]
            )
        body = await request.read()
        client = msgspec.json.decode(body).get("client-id") if body else None
        if client is not None and len(client) > CLIENT_ID_MAX:
            raise Refusal(400, "client-id is too long")
        if len(own) >= CHANNELS_MAX:
            raise Refusal(429, "Too many channels")
        identity = next(self._ids)
        url = f"{self._base()}/events/channels/{identity}"
        self.channels[identity] = Channel(identity, url, client, self.end)
        self._owners[identity] = uid
        return web.Response(status=201, headers={"Location": url})

    async def _channel(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        if request.method == "DELETE":
            self.end(channel)
            return web.Response(status=204)
        if request.method == "PATCH":
            timeout = msgspec.json.decode(await request.read())["timeout"]
            if not TIMEOUTS_S[0] <= timeout <= self.timeout_s_max:
                raise Refusal(400, "timeout is out of range")
            channel.timeout_s = timeout
            return web.Response(status=204)
        if "text/event-stream" not in request.headers.get("Accept", ""):
            return json_answer({"timeout": channel.timeout_s})
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
        entry = self._entry(path)
        if entry is None:
            raise Refusal(400, f"Not found: Problem with path: {path}")
        if "IN_ONLYDIR" in flags and not entry.is_folder:
            raise Refusal(400, f"Failed condition: {path} is no directory")
        return entry

    def _subscription(self, request: web.Request, channel: Channel, rest: str) -> web.Response:
        url = f"{self._base()}{rest}"
        watch = next((each for each in channel.watches.values() if each.url == url), None)
        if watch is None and url not in channel.others:
            raise Refusal(404, "No such subscription")
        if request.method == "GET":
            return json_answer(watch.selector if watch is not None else channel.others[url])
        if watch is not None:
            channel.unwatch(watch)
        else:
            channel.unsubscribe(url)
        return web.Response(status=204)
