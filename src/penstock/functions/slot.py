"""The engine's side of one warm worker: its sockets, its calls, what it said."""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

from penstock.core.ports import Invocation
from penstock.functions import protocol

if TYPE_CHECKING:
    from penstock.functions.endings import Ending
    from penstock.functions.lane import Lane
    from penstock.functions.nursery import Nursery


_NOTHING = Raw(b"")


class Reply(Struct, frozen=True):
    """What a worker says: that it is ready (once), then how each call went.

    Attributes:
        ready: Set in the first one only.
        held: Names of the limits that the kernel holds, in the first one.
        broken: Why it can answer no call at all, in the first one.
        started: POSIX nanoseconds at which it got the call.
        log: Length of its log file after the call.
        folder: Number of the folder in which the call's files are.
        dirty: Whether the call has left processes behind.
        result: The JSON object, if it went well; else nothing. (``Raw | None`` would take null only.)
        error: What went wrong, else.
        retryable: As in ``Answer``.
        evicted: As in ``Answer``.
        files: Whether it has written any.
    """

    ready: bool = False
    held: tuple[str, ...] = ()
    broken: str = ""
    started: int = 0
    log: int = 0
    folder: int = 0
    dirty: bool = False
    result: Raw = _NOTHING
    error: str | None = None
    retryable: bool = True
    evicted: bool = False
    files: bool = False


_DECODER = msgspec.json.Decoder(Reply)


class Slot:
    """A worker as the engine sees it.

    Attributes:
        number: Unique in the pool's life.
        lane: The function it works for.
        nursery: The zygote that forked it.
        folder: Its own folder: ``out/N/`` for its calls' files, ``tmp`` for the rest.
        log: Its log file.
        log_end: How long that was after the last call.
        calls: Sent and not answered, in order; it works on the first, or has not begun it.
        since: Loop time at which the first of ``calls`` came to be the first.
        born: Loop time at which it was asked for.
        ready: Whether it has imported its function.
        broken: Whether it can answer with an error only.
        held: Limits that the kernel holds for it.
        demoted: Whether it gives way to others, from its birth on or since a call has lasted.
        heavy: Whether the call it works on uses a core for long.
        watched: Whether the zygote watches its limits just now.
        leaving: Whether it gets no more calls and is ended as soon as it has none.
        ending: Why it is being ended, for the call it works on; None while it may live.
    """

    __slots__ = (
        "_far", "_near", "born", "broken", "calls", "demoted", "ending", "folder", "heavy", "held", "lane",
        "leaving", "log", "log_end", "number", "nursery", "ready", "since", "watched",
    )  # fmt: skip

    def __init__(self, number: int, lane: Lane, nursery: Nursery, folder: str, log: str, now: float) -> None:
        self.number = number
        self.lane = lane
        self.nursery = nursery
        self.folder = folder
        self.log = log
        self.log_end = 0
        self.calls: deque[Invocation] = deque()
        self.since = self.born = now
        self.ready = self.broken = self.watched = self.leaving = False
        self.demoted = self.heavy = False
        self.held: tuple[str, ...] = ()
        self.ending: Ending | None = None
        self._near, self._far = protocol.pair()
        self._near.setblocking(False)

    @property
    def far(self) -> socket.socket:
        """The worker's own end. We keep it, so that calls it has not begun can be taken back."""
        return self._far

    def fileno(self) -> int:
        """Descriptor that is readable when the worker has said something; -1 once it is being ended."""
        return self._near.fileno()

    def send(self, invocation: Invocation) -> None:
        """Send a call; it never blocks, for no more are under way than a socket holds."""
        self.calls.append(invocation)
        protocol.send(self._near, invocation.params)

    def receive(self) -> Reply:
        """Return the next thing it said.

        Raises:
            BlockingIOError: There is nothing.
            ValueError: The function has written into our socket; the worker cannot be trusted any more.
        """
        return _DECODER.decode(protocol.receive(self._near))

    def take_back(self) -> list[Invocation]:
        """Return the calls that it has not begun, in order; from now on they are not its calls.

        It reads at the same moment, so what we get need not be the newest: with two calls unread we may
        get the first and it the second. So each is recognised by what it carries.
        """
        back: list[Invocation] = []
        try:
            while message := protocol.receive(self._far, socket.MSG_DONTWAIT):
                call = next((call for call in reversed(self.calls) if call.params == message), None)
                if call is not None:  # else the function has answered it unasked, into our socket
                    self.calls.remove(call)
                    back.append(call)
        except BlockingIOError:
            pass
        return back

    def hang_up(self) -> None:
        """Close our end. Before, ``take_back``: what is unread is lost with it."""
        self._near.close()

    def close(self) -> None:
        """Close both ends."""
        self._near.close()
        self._far.close()

    def span(self, end: int) -> str:
        """Return ``file:start:end`` of the log since the last call, up to ``end``, and go on from there."""
        start, self.log_end = self.log_end, end
        return f"{self.log}:{start}:{end}"

    def written(self) -> int:
        """Return the length of the log now."""
        try:
            return os.stat(self.log).st_size
        except FileNotFoundError:
            return 0
