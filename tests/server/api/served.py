"""A whole installation with its API, and a small HTTP client for both of its doors."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.testing.installation import Installation

WAIT_S = 20.0
HERE = Path(__file__).parent
V1 = "/api/v1"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("penstock", timeout=WAIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(self._path)


class Served(Installation):
    """An installation whose API runs, too; it takes a free port."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, {"PENSTOCK_PORT": "0"})

    def address(self) -> dict[str, Any]:
        """Where the API is; waits until it is there."""
        file = self.places.runtime / "api.json"
        deadline = time.monotonic() + WAIT_S
        while not file.exists():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    @property
    def port(self) -> int:
        return int(self.address()["port"])

    @property
    def token(self) -> str:
        return (self.places.runtime / "token").read_text()

    def ask_api(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        tcp: bool = False,
    ) -> Answer:
        """Ask one thing; a body that is no bytes is sent as JSON."""
        given = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        connection = (
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
            if tcp
            else Unix(self.address()["socket"])
        )
        try:
            connection.request(method, path if path.startswith("/") else f"{V1}/{path}", body, given)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Ask, expect that it is there, and return the JSON."""
        answer = self.ask_api("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        """Post JSON, expect that it is taken, and return the JSON."""
        answer = self.ask_api("POST", path, body)
        assert answer.status == status, answer.body
        return answer.json()

    def take(self, **attributes: Any) -> Any:
        """Send one event, structured."""
        event = {"specversion": "1.0", "source": "/tests", **attributes}
        kind = {"content-type": "application/cloudevents+json"}
        answer = self.ask_api("POST", "events", json.dumps(event).encode(), kind)
        assert answer.status == 200, answer.body
        return answer.json()

    def stream(self, path: str, headers: dict[str, str] | None = None) -> Stream:
        """Open a stream of server-sent events."""
        connection = Unix(self.address()["socket"])
        connection.request("GET", f"{V1}/{path}", headers=headers or {})
        return Stream(connection)

    def ended_run(self, **wanted: str) -> dict[str, Any]:
        """Return the newest run with these members, once it has ended; wakes with the live stream."""
        with self.stream("live") as live:
            for _ in live.messages():
                for run in self.get("runs")["runs"]:
                    if run["ended"] and wanted.items() <= run.items():
                        return dict(run)
        raise AssertionError("the stream ended")


class Stream:
    """A stream of server-sent events that is being read."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self.response = connection.getresponse()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._connection.close()

    def frames(self) -> Iterator[dict[str, str]]:
        """Yield frames as field to value; comments are left out."""
        found: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if not text and found:
                yield found
                found = {}
            elif text and not text.startswith(":"):
                name, _, value = text.partition(": ")
                found[name] = value

    def messages(self) -> Iterator[Any]:
        """Yield the data of frames, decoded."""
        for frame in self.frames():
            yield json.loads(frame["data"])
