"""Fixtures with real servers: each is started when the first test wants it, and stopped behind the last.

A server that cannot be had fails the test in CI and skips it, with the reason, on a laptop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from penstock.testing.proxy import Proxy
from tests.servers.activemq import ActiveMq
from tests.servers.kafka import Kafka
from tests.servers.kafka_far import FarKafka
from tests.servers.postgres import Postgres
from tests.servers.server import Missing, Server
from tests.servers.xrootd import Xrootd

S = TypeVar("S", bound=Server)


class Servers:
    """Starts servers and stops them behind the last test."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self._folder = folder
        self._ends = ends

    def start(self, kind: type[S]) -> S:
        """Return a started server of this kind."""
        server = kind(self._folder / kind.name)
        self._ends.callback(server.kill)
        started(server)
        return server


def started(server: Server) -> None:
    """Start ``server``; where it cannot be had fail in CI and skip on a laptop."""
    try:
        server.start()
    except Missing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Return what starts servers for the whole session."""
    with ExitStack() as ends:
        yield Servers(tmp_path_factory.mktemp("servers"), ends)


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> Kafka:
    """Return a Kafka broker without security; tests use topics of their own and do not stop it."""
    return servers.start(Kafka)


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Postgres:
    """Return a PostgreSQL server; tests use schemas of their own and do not stop it."""
    return servers.start(Postgres)


@pytest.fixture(scope="session")
def activemq(servers: Servers) -> ActiveMq:
    """Return an ActiveMQ broker; tests use queues of their own, and start it again if they stop it."""
    return servers.start(ActiveMq)


@pytest.fixture(scope="session")
def xrootd(servers: Servers) -> Xrootd:
    """Return an XRootD server that tells a program; tests use folders of their own."""
    return servers.start(Xrootd)


@pytest.fixture(scope="session")
def far_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarKafka]:
    """Return a Kafka broker behind a proxy, which tests may disturb; each leaves both as they were."""
    with Proxy() as proxy:
        broker = Kafka(tmp_path_factory.mktemp("far"), proxy.port)
        try:
            started(broker)
            proxy.target = ("127.0.0.1", broker.far_port)
            yield FarKafka(broker, proxy)
        finally:
            broker.kill()
