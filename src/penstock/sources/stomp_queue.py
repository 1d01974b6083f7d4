"""A STOMP subscription whose messages are acknowledged one by one. Needs the extra ``rucio`` (stomp.py).

The client's thread reads from the socket; messages are handed to the event loop. The broker sends at most
``prefetch`` messages that were not acknowledged, so nothing piles up here. A dead connection is noticed by
the kernel's keep-alive; heart-beats of the protocol are off unless asked for.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Any

import stomp
from msgspec import Struct
from stomp.exception import ConnectFailedException, NotConnectedException, StompException

from penstock.core.errors import ConnectionLost, Unavailable
from penstock.outside.secret import Secret

CONNECT_S = 10.0
"""Longest time for one address to answer."""
RETRY_S = 2.0
KEEPALIVE_S = (30, 10, 3)
"""Idle seconds before the kernel asks whether the other side is there, seconds between, and how often."""


class StompSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker and what is read from it.

    Attributes:
        brokers: ``host:port`` of each; the first that answers is taken.
        destination: Such as ``/queue/events`` or ``/topic/events``.
        user: Absent: nobody in particular.
        password: Where the password is.
        tls: Whether the connection is encrypted, and the broker's certificate checked.
        ca: File with the certificates of the authorities; default: the system's.
        subscription: For topics: name under which the broker keeps what comes while we are away.
        vhost: Virtual host at the broker; default: the broker's name.
        prefetch: Most messages that are under way and not acknowledged.
        heartbeat_s: Seconds between heart-beats of the protocol, both ways; 0: none.
    """

    brokers: tuple[str, ...]
    destination: str
    user: str = ""
    password: Secret | None = None
    tls: bool = False
    ca: str | None = None
    subscription: str = ""
    vhost: str = ""
    prefetch: int = 200
    heartbeat_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not self.brokers:
            raise ValueError("'brokers' is empty; expected at least one host:port")
        for broker in self.brokers:
            host, colon, port = broker.rpartition(":")
            if not (host and colon and port.isdigit()):
                raise ValueError(f"broker {broker!r}: expected host:port")
        if self.destination.startswith("/topic/") and not self.subscription:
            raise ValueError("a topic forgets what comes while we are away; give 'subscription' a name")
        if self.prefetch < 1:
            raise ValueError(f"prefetch is {self.prefetch}; expected 1 at least")


class Delivery(Struct, frozen=True):
    """One message, and what it is acknowledged by."""

    ack: str
    body: bytes


class StompQueue:
    """One connection with one subscription, from ``open`` to ``close``."""

    def __init__(self, settings: StompSettings) -> None:
        self._settings = settings
        self._arrived: deque[Delivery] = deque()
        self._news = asyncio.Event()
        self._lost: str | None = None
        self._loop = asyncio.get_running_loop()
        self._receipt = threading.Event()
        self._connection: Any = None

    async def open(self) -> None:
        """Connect and subscribe. Blocks a thread, not the loop.

        Raises:
            Unavailable: No broker answers, or none lets us in.
        """
        try:
            await asyncio.to_thread(self._open)
        except ConnectFailedException as error:
            said = self._lost or str(error) or "none of them answers"
            raise Unavailable(f"STOMP broker {', '.join(self._settings.brokers)}: {said}", RETRY_S) from error
        except (StompException, OSError) as error:
            raise Unavailable(
                f"STOMP broker {', '.join(self._settings.brokers)}: {error}", RETRY_S
            ) from error

    def _open(self) -> None:
        settings = self._settings
        hosts = [(host, int(port)) for host, _, port in (b.rpartition(":") for b in settings.brokers)]
        beat_ms = int(settings.heartbeat_s * 1000)
        self._connection = stomp.Connection12(
            hosts,
            reconnect_attempts_max=1,
            timeout=CONNECT_S,
            heartbeats=(beat_ms, beat_ms),
            keepalive=("linux", *KEEPALIVE_S),
            vhost=settings.vhost or None,
            auto_decode=False,
        )
        if settings.tls:
            self._connection.set_ssl(hosts, ca_certs=settings.ca, verify=True)
        self._connection.set_listener("penstock", _Listener(self))
        headers = {"client-id": settings.subscription} if settings.subscription else {}
        password = settings.password.read() if settings.password else None
        self._connection.connect(settings.user or None, password, wait=True, headers=headers)
        self._subscribe()

    def _subscribe(self) -> None:
        settings = self._settings
        headers = {"activemq.prefetchSize": str(settings.prefetch)}
        if settings.subscription:
            headers["activemq.subscriptionName"] = settings.subscription
        self._connection.subscribe(
            settings.destination,
            id="1",
            ack="client-individual",
            headers={**headers, "receipt": "subscribed"},
        )
        if not self._receipt.wait(CONNECT_S):
            raise ConnectFailedException(f"{settings.destination} could not be subscribed to")

    async def next(self, most: int) -> list[Delivery]:
        """Return what has arrived, ``most`` messages at most; wait for the first.

        Raises:
            ConnectionLost: The broker is away; what was not acknowledged comes again.
        """
        while not self._arrived:
            if self._lost is not None:
                raise ConnectionLost(
                    f"STOMP broker {', '.join(self._settings.brokers)}: {self._lost}", RETRY_S
                )
            self._news.clear()
            await self._news.wait()
        return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]

    async def acknowledge(self, deliveries: list[Delivery]) -> None:
        """Tell the broker to forget these. Blocks a thread, not the loop.

        Raises:
            ConnectionLost: The broker is away; those not acknowledged come again.
        """
        try:
            await asyncio.to_thread(self._acknowledge, deliveries)
        except (StompException, NotConnectedException, OSError) as error:
            raise ConnectionLost(
                f"STOMP broker {', '.join(self._settings.brokers)}: {error or 'the connection is closed'}",
                RETRY_S,
            ) from error

    def _acknowledge(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._connection.ack(delivery.ack)

    async def close(self) -> None:
        """End the connection; a durable subscription stays."""
        if self._connection is not None:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._connection.remove_listener("penstock")
        with suppress(StompException, OSError):  # It may be closed already.
            self._connection.disconnect()

    # Called from the client's thread.

    def subscribed(self) -> None:
        """Take notice that the broker has heard of the subscription."""
        self._receipt.set()

    def arrived(self, delivery: Delivery) -> None:
        """Take a message."""
        self._call(self._take, delivery)

    def went(self, reason: str) -> None:
        """Take notice that the connection is of no more use."""
        self._receipt.set()
        self._call(self._end, reason)

    def _call(self, what: Any, argument: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, argument)

    def _take(self, delivery: Delivery) -> None:
        self._arrived.append(delivery)
        self._news.set()

    def _end(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._news.set()


class _Listener(stomp.ConnectionListener):  # type: ignore[misc]
    """Hands over what the client's thread reads."""

    def __init__(self, queue: StompQueue) -> None:
        self._queue = queue

    def on_message(self, frame: Any) -> None:
        body = frame.body if isinstance(frame.body, bytes) else frame.body.encode("utf-8", "surrogateescape")
        self._queue.arrived(Delivery(frame.headers["ack"], body))

    def on_receipt(self, frame: Any) -> None:
        if frame.headers.get("receipt-id") == "subscribed":
            self._queue.subscribed()

    def on_error(self, frame: Any) -> None:
        said = frame.headers.get("message") or frame.body
        self._queue.went(f"it says {said!r}")

    def on_disconnected(self) -> None:
        self._queue.went("the connection was lost")
