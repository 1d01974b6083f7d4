"""An API that answers from a table, on a Unix socket."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

Answer = tuple[int, Any]
"""Status and JSON; a list of bytes is a stream."""


class FakeApi:
    """Remembers what it was asked, and answers from ``answers``: ``"GET /status"`` to status and JSON.

    Several answers in a list are given one after another, the last one again and again.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, Any]] = []

    def set(self, what: str, *answers: Any) -> None:
        """Answer ``what`` with these; anything but a pair is a good answer."""
        self.answers[what] = [each if isinstance(each, tuple) else (200, each) for each in answers]

    def answer(self, method: str, target: str, body: Any) -> Answer:
        """Return the answer to a request."""
        self.asked.append((f"{method} {target}", body))
        known = self.answers.get(f"{method} {target}") or self.answers.get(
            f"{method} {target.partition('?')[0]}"
        )
        if not known:
            detail = f"no {method} {target}"
            return 404, {"type": "urn:penstock:problem:not-found", "status": 404, "detail": detail}
        return known.pop(0) if len(known) > 1 else known[0]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    api: FakeApi


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return ""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        target = self.path.removeprefix("/api/v1")
        status, answer = self.server.api.answer(self.command, target, json.loads(raw) if raw else None)
        self.send_response(status)
        if isinstance(answer, list) and answer and isinstance(answer[0], bytes):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in (*answer, b""):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            return
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = _any


@contextmanager
def serving(home: Path) -> Iterator[FakeApi]:
    """Answer at the place where a client with this home asks."""
    (home / "run").mkdir(parents=True, exist_ok=True)
    api = FakeApi()
    server = _Server(str(home / "run" / "api.sock"), _Handler)
    server.api = api
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
