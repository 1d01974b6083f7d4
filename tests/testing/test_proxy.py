"""The proxy does to connections what its methods say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from penstock.testing.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that says everything back."""
    server = socket.create_server(("127.0.0.1", 0))

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(1000):
                    connection.sendall(chunk)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with Proxy(server.getsockname()) as proxy:
        yield proxy
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 10)


def said(proxy: Proxy, what: bytes) -> bytes:
    with connect(proxy) as connection:
        connection.sendall(what)
        if answer := connection.recv(100):
            return answer
    raise ConnectionResetError


def test_bytes_pass_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as one:
        one.sendall(b"hello")
        assert one.recv(100) == b"hello"


def test_a_stalled_connection_stays_open_and_goes_on_without_loss(proxy: Proxy) -> None:
    with connect(proxy) as one:
        one.sendall(b"1")
        assert one.recv(100) == b"1"
        proxy.stall()
        one.sendall(b"2")
        one.settimeout(0.05)
        with pytest.raises(TimeoutError):
            one.recv(100)
        proxy.resume()
        one.settimeout(10)
        assert one.recv(100) == b"2"


def test_a_cut_resets_and_new_connections_work(proxy: Proxy) -> None:
    with connect(proxy) as one:
        one.sendall(b"1")
        assert one.recv(100) == b"1"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            one.recv(100)
    with connect(proxy) as two:
        two.sendall(b"2")
        assert two.recv(100) == b"2"


def test_refusing_lasts_until_it_resumes(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(OSError):
        said(proxy, b"1")
    proxy.resume()
    assert said(proxy, b"2") == b"2"
