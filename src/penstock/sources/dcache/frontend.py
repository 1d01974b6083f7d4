"""A frontend of dCache: namespace, event channels, subscriptions. One method per call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import ConnectionLost, NotFound, Refused
from penstock.sources.dcache.rest import BUSY_RETRY_S, Forbidden, NoFolder, Odd, Rest, Stream
from penstock.sources.dcache.settings import FrontendSettings

API = "/api/v1"


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
    creationTime: int = 0


class Described(Struct):
    """An entry: what is read of it, and the answer as it came."""

    attributes: Attributes
    raw: Raw


class _Listing(Struct):
    children: list[Raw] = []


class _Lifetime(Struct, frozen=True):
    maximum: int = 86_400


class _Channels(Struct, frozen=True):
    lifetimeWhenDisconnected: _Lifetime = _Lifetime()


class _Limits(Struct, frozen=True):
    channels: _Channels = _Channels()


class _Placed(Struct):
    path: str = ""


class _User(Struct):
    status: str = ""
    rootDirectory: str = "/"


_attributes = msgspec.json.Decoder(Attributes).decode
_listing = msgspec.json.Decoder(_Listing).decode
_user = msgspec.json.Decoder(_User).decode
_limits = msgspec.json.Decoder(_Limits).decode
_placed = msgspec.json.Decoder(_Placed).decode
_WANTED = "locality=true&checksum=true&optional=true"


class Frontend:
    """The calls. Use as ``async with``; the token is read when it is entered.

    Raises (each call):
        Unavailable: It is away, slow, or wants a new token; the message says which.
        Refused: It will never answer this.
    """

    def __init__(self, settings: FrontendSettings) -> None:
        self._root = settings.root
        self._rest = Rest(settings)

    async def __aenter__(self) -> Frontend:
        await self._rest.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._rest.__aexit__()

    def ours(self, url: str) -> str:
        """Return the path of an address that dCache sent, byte for byte."""
        return self._rest.ours(url)

    # -- namespace -----------------------------------------------------------------------------------

    async def root(self) -> str:
        """Return the folder of the namespace that this login sees as ``/``, without a slash at its end."""
        if self._root is not None:
            return self._root.rstrip("/")
        _, body, _ = await self._rest.call("GET", f"{API}/user")
        user = self._read("/user", _user, body)
        if user.status == "ANONYMOUS":
            raise self._rest.unauthenticated("it takes us for nobody")
        seen_as: str = user.rootDirectory
        return seen_as.rstrip("/")

    async def describe(self, path: str) -> Described | None:
        """Return what is at a path, or None.

        Raises:
            Forbidden: We may not see it.
        """
        try:
            _, body, _ = await self._rest.call("GET", f"{API}/namespace{_escaped(path)}?{_WANTED}")
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
            _, body, _ = await self._rest.call("GET", f"{API}/namespace{_escaped(path)}?{query}")
        except NotFound:
            return []
        return [self._described(path, raw) for raw in self._read(path, _listing, body).children]

    async def path_of(self, pnfsid: str) -> str | None:
        """Return the path of a file by its pnfsid; None if it is gone, or we are no admin."""
        try:
            _, body, _ = await self._rest.call("GET", f"{API}/id/{quote(pnfsid, safe='')}")
        except (NotFound, Forbidden):
            return None
        path: str = self._read(pnfsid, _placed, body).path
        return path if path.startswith("/") else None

    def _described(self, path: str, raw: Raw) -> Described:
        return Described(self._read(path, _attributes, raw), raw)

    def _read(self, path: str, decode: Any, body: bytes | Raw) -> Any:
        try:
            return decode(body)
        except msgspec.MsgspecError as error:
            raise Odd(
                f"{self._rest.base} describes {path!r} in words we cannot read: {error}", BUSY_RETRY_S
            ) from error

    # -- channels ------------------------------------------------------------------------------------

    async def make_channel(self, client: str, timeout_s: int) -> str:
        """Return the address of a new channel, kept for ``timeout_s`` while nobody listens, if it may be."""
        _, body, _ = await self._rest.call("GET", f"{API}/events")
        longest: int = self._read("/events", _limits, body).channels.lifetimeWhenDisconnected.maximum
        url, _ = await self._rest.made(f"{API}/events/channels", {"client-id": client})
        await self._rest.call("PATCH", url, {"timeout": min(timeout_s, longest)})
        return url

    async def end_channel(self, channel: str) -> None:
        """End a channel, if it has not ended."""
        try:
            await self._rest.call("DELETE", channel)
        except NotFound:
            return

    async def listen(self, channel: str, last_id: int) -> Stream:
        """Return the stream of a channel from behind ``last_id`` on; -1 is from now on.

        Raises:
            NotFound: The channel has ended.
        """
        return await self._rest.listen(channel, {"Last-Event-ID": str(last_id)} if last_id >= 0 else {})

    async def anchor(self, channel: str) -> bool:
        """Have one event sent that says nothing, so that there is a number to come back to.

        Returns:
            Whether it will come.
        """
        wish = {"delay": 0.01, "count": 1, "message": "begin"}
        try:
            await self._rest.made(f"{channel}/subscriptions/metronome", wish)
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
            return await self._rest.made(f"{channel}/subscriptions/inotify", selector)
        except NoFolder:
            return None
        except NotFound as error:
            raise ConnectionLost(f"the event channel has ended: {error}") from error

    async def unsubscribe(self, subscription: str) -> None:
        """End a subscription, if it has not ended."""
        try:
            await self._rest.call("DELETE", subscription)
        except NotFound:
            return


def _escaped(path: str) -> str:
    return quote(path, safe="/")
