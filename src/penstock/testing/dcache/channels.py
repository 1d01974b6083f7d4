"""Simulated event channels of dCache's frontend: ids, backlog, replay, system events, and faults.

A channel numbers its events from 0, keeps the newest for a client that comes back, and has one at a time.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from penstock.testing.dcache.namespace import IS_FOLDER, Notice

BACKLOG = 16_383
"""Events that a channel keeps for clients that come back."""
TIMEOUT_S = 300
ALL_EVENTS = (
    "IN_ACCESS", "IN_ATTRIB", "IN_CLOSE_WRITE", "IN_CLOSE_NOWRITE", "IN_CREATE", "IN_DELETE",
    "IN_DELETE_SELF", "IN_MODIFY", "IN_MOVE_SELF", "IN_MOVED_FROM", "IN_MOVED_TO", "IN_OPEN",
)  # fmt: skip
MACROS = {
    "IN_ALL_EVENTS": ALL_EVENTS,
    "IN_CLOSE": ("IN_CLOSE_WRITE", "IN_CLOSE_NOWRITE"),
    "IN_MOVE": ("IN_MOVED_FROM", "IN_MOVED_TO"),
}
BEHAVIOUR = frozenset({"IN_MASK_ADD", "IN_ONESHOT", "IN_ONLYDIR"})


class Stream:
    """The body of one client's event stream: frames to be written, until it is closed."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.closed = False

    def put(self, frame: bytes) -> None:
        """Append a frame."""
        self._frames.append(frame)
        self._news.set()

    def close(self) -> None:
        """End the stream behind what was put."""
        self.closed = True
        self._news.set()

    async def next(self) -> bytes | None:
        """Return what is to be written next, or None at the end."""
        while not self._frames:
            if self.closed:
                return None
            self._news.clear()
            await self._news.wait()
        taken = b"".join(self._frames)
        self._frames.clear()
        return taken


@dataclass(eq=False)
class Watch:
    """One inotify subscription: on what, with which flags, and what it was asked with."""

    pnfsid: str
    url: str
    selector: dict[str, Any]
    flags: frozenset[str]


@dataclass(eq=False)
class Faults:
    """What goes wrong with the events of a channel from now on.

    Attributes:
        lose: As many events are lost on their way to the channel.
        double: As many events come twice, under two numbers.
        hold: As many events are held back, and then come in reverse.
    """

    lose: int = 0
    double: int = 0
    hold: int = 0
    held: list[tuple[str, Any, str]] = field(default_factory=list)


class Channel:
    """One channel of one user."""

    def __init__(
        self, identity: str, url: str, client_id: str | None, ended: Callable[[Channel], None]
    ) -> None:
        self.id = identity
        self.url = url
        self.client_id = client_id
        self.timeout_s = TIMEOUT_S
        self.next_id = 0
        self.faults = Faults()
        self.watches: dict[str, Watch] = {}
        self.others: dict[str, Any] = {}
        self.stream: Stream | None = None
        self._backlog: deque[tuple[int, bytes]] = deque(maxlen=BACKLOG)
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None
        self.left()

    # -- clients -------------------------------------------------------------------------------------

    def open(self, last_event_id: str | None) -> Stream:
        """Return the stream of a client; the one before loses its own."""
        if self.stream is not None:
            self.stream.put(system("COMPETING_CLIENT"))
            self.stream.close()
        if self._timer is not None:
            self._timer.cancel()
        stream = self.stream = Stream()
        if last_event_id is not None and last_event_id.isdigit():
            self._replay(stream, int(last_event_id))
        return stream

    def left(self, stream: Stream | None = None) -> None:
        """Take note that a client is gone; without one the channel ends in time."""
        if stream is self.stream:
            self.stream = None
            self._timer = asyncio.get_running_loop().call_later(self.timeout_s, self._ended, self)

    def forget(self) -> None:
        """Drop the events that are kept, as if too many had come."""
        self._backlog.clear()

    def close(self) -> None:
        """End the channel and its client's stream."""
        if self._timer is not None:
            self._timer.cancel()
        if self.stream is not None:
            self.stream.close()

    def _replay(self, stream: Stream, last: int) -> None:
        kept = list(self._backlog)
        if last not in [number for number, _ in kept]:
            self._backlog.clear()
            stream.put(system("EVENT_LOSS"))
            return
        for number, frame in kept:
            if number < last:
                self._backlog.popleft()
            elif number > last:
                stream.put(frame)

    # -- subscriptions -------------------------------------------------------------------------------

    def watch(self, pnfsid: str, selector: dict[str, Any]) -> tuple[Watch, bool]:
        """Return the watch on an entry, and whether it is new; flags are replaced or added to."""
        asked = [flag for flag in selector.get("flags", ()) if flag not in BEHAVIOUR]
        flags = frozenset(each for flag in asked or ["IN_ALL_EVENTS"] for each in MACROS.get(flag, (flag,)))
        before = self.watches.get(pnfsid)
        if before is not None:
            if "IN_MASK_ADD" in selector.get("flags", ()):
                merged = [*before.selector.get("flags", ()), *asked]
                selector = {**selector, "flags": list(dict.fromkeys(merged))}
            before.selector, before.flags = selector, flags
            return before, False
        url = f"{self.url}/subscriptions/inotify/{subscription_id(pnfsid)}"
        watch = self.watches[pnfsid] = Watch(pnfsid, url, selector, flags)
        self.system("NEW_SUBSCRIPTION", url)
        return watch, True

    def unwatch(self, watch: Watch) -> None:
        """End a watch, as its client or the entry's end wants it."""
        del self.watches[watch.pnfsid]
        self.system("SUBSCRIPTION_CLOSED", watch.url)
        self._publish("inotify", {"mask": ["IN_IGNORED"]}, watch.url)

    def subscribe(self, kind: str, identity: str, selector: Any) -> str:
        """Make a subscription of another kind and return its address."""
        url = f"{self.url}/subscriptions/{kind}/{identity}"
        self.others[url] = selector
        self.system("NEW_SUBSCRIPTION", url)
        if selector.get("count"):
            self._timer_of(url, selector["count"], selector.get("delay", 1), selector.get("message", "tick"))
        return url

    def _timer_of(self, url: str, count: int, delay_s: float, message: str) -> None:
        def tick() -> None:
            if url in self.others:
                self.tick(url, message)
                if count > 1:
                    self._timer_of(url, count - 1, delay_s, message)
                else:
                    self.unsubscribe(url)

        asyncio.get_running_loop().call_later(delay_s, tick)

    def unsubscribe(self, url: str) -> None:
        """End a subscription of another kind."""
        del self.others[url]
        self.system("SUBSCRIPTION_CLOSED", url)

    # -- events --------------------------------------------------------------------------------------

    def notice(self, notice: Notice) -> None:
        """Tell of what happened to an entry, if it is watched for that."""
        watch = self.watches.get(notice.watched)
        if watch is None:
            return
        if notice.flag in watch.flags:
            self._faulty("inotify", payload(notice), watch.url)
        if notice.flag == "IN_DELETE_SELF":
            self.unwatch(watch)

    def overflow(self, pnfsid: str) -> None:
        """Tell that events of this watch were lost because a queue was full."""
        self._publish("inotify", {"mask": ["IN_Q_OVERFLOW"]}, self.watches[pnfsid].url)

    def garbage(self, data: bytes) -> None:
        """Send an inotify event that says nothing one could read."""
        self._frame(b"inotify", data)

    def tick(self, url: str, message: str = "tick") -> None:
        """Send an event of a metronome."""
        self._publish("metronome", message, url)

    def system(self, kind: str, subscription: str | None = None) -> None:
        """Send an event without number, to the client that is there now."""
        if self.stream is not None:
            self.stream.put(system(kind, subscription))

    def _faulty(self, kind: str, event: Any, url: str) -> None:
        faults = self.faults
        if faults.lose:
            faults.lose -= 1
        elif faults.hold:
            faults.hold -= 1
            faults.held.append((kind, event, url))
            if not faults.hold:
                held, faults.held = faults.held, []
                for each in reversed(held):
                    self._publish(*each)
        else:
            self._publish(kind, event, url)
            if faults.double:
                faults.double -= 1
                self._publish(kind, event, url)

    def _publish(self, kind: str, event: Any, url: str) -> None:
        body = msgspec.json.encode({"event": event, "subscription": url})
        self._frame(kind.encode(), body)

    def _frame(self, kind: bytes, body: bytes) -> None:
        frame = b"event: %s\nid: %d\ndata: %s\n\n" % (kind, self.next_id, body)
        self._backlog.append((self.next_id, frame))
        self.next_id += 1
        if self.stream is not None:
            self.stream.put(frame)


def payload(notice: Notice) -> dict[str, Any]:
    """Return what an inotify event says, its members in dCache's order."""
    said: dict[str, Any] = {}
    if notice.name is not None:
        said["name"] = notice.name
    if notice.cookie is not None:
        said["cookie"] = notice.cookie
    said["mask"] = [notice.flag, *([IS_FOLDER] if notice.folder else [])]
    return said


def system(kind: str, subscription: str | None = None) -> bytes:
    """Return the frame of a system event."""
    said = {"type": kind} if subscription is None else {"type": kind, "subscription": subscription}
    return b"event: SYSTEM\ndata: %s\n\n" % msgspec.json.encode(said)


def subscription_id(pnfsid: str) -> str:
    """Return the id of a watch as dCache 11.2 makes it: base64, its slashes escaped."""
    return base64.b64encode(bytes.fromhex(pnfsid)).decode().rstrip("=").replace("/", "%2F")
