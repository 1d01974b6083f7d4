"""A Kafka broker behind a proxy: bad networks and a broker that may be killed."""

from __future__ import annotations

from penstock.testing.proxy import Proxy
from tests.servers.kafka import Kafka


class FarKafka:
    """A broker of its own, and the proxy through which clients reach it.

    Attributes:
        broker: May be killed; whoever does starts it again.
        proxy: Whoever stalls or refuses resumes.
    """

    def __init__(self, broker: Kafka, proxy: Proxy) -> None:
        self.broker, self.proxy = broker, proxy
        self._topics = 0

    @property
    def address(self) -> str:
        """``bootstrap.servers`` of clients behind the proxy."""
        return self.proxy.address

    def topic(self) -> str:
        """Return the name of a topic that is not there yet."""
        self._topics += 1
        return f"far-{self._topics}"
