"""A link to a server that loses an answer, on purpose. For cuts and stalls see ``penstock.testing.proxy``."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Link:
    """Relays TCP connections from a free port of 127.0.0.1 to another one.

    Attributes:
        port: Where clients connect.
        lose_answer_to: When a client sends these bytes, the server gets them, its answer is thrown away
            and the connection is cut. Then this is None again.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose_answer_to: bytes | None = None
        self.lost = threading.Event()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to_port))
                self._open |= {client, server}
                mute = threading.Event()
                for source, target, is_client in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._relay, args=(source, target, is_client, mute), daemon=True
                    ).start()

    def _relay(
        self, source: socket.socket, target: socket.socket, is_client: bool, mute: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_client and self.lose_answer_to is not None and self.lose_answer_to in data:
                    self.lose_answer_to = None
                    mute.set()
                if not is_client and mute.is_set():
                    self.lost.set()
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def close(self) -> None:
        """End every connection and take no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
