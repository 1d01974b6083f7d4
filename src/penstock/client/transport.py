"""HTTP over the Unix socket of a running Penstock, with the standard library.

One connection for each request: the socket is local, and a connection costs less than 0.1 ms.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from penstock.core import errors

ROOT = "/api/v1"
TIMEOUT_S = 60.0
"""Longest wait for an answer, streams excepted."""


def socket_path(home: str | os.PathLike[str] | None = None) -> Path:
    """Return where a running Penstock listens.

    Args:
        home: One folder for everything; default ``PENSTOCK_HOME``, else the XDG folders.
    """
    env = os.environ
    home = home or env.get("PENSTOCK_HOME")
    if home:
        return Path(home).expanduser().absolute() / "run" / "api.sock"
    if runtime := env.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "penstock" / "api.sock"
    user = Path(env.get("HOME") or Path.home())
    return Path(env.get("XDG_STATE_HOME") or user / ".local/state") / "penstock" / "run" / "api.sock"


class Transport:
    """Sends requests to ``path`` and returns their answers.

    Args:
        path: The socket.
        timeout_s: Longest wait for an answer, in seconds.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s

    def ask(
        self,
        method: str,
        place: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """Return the answer's JSON, or None if it is empty.

        Args:
            method: Of HTTP.
            place: Below ``/api/v1``, already percent-encoded.
            query: Parameters; those that are None are left out.
            body: Sent as JSON, bytes as they are.
            content_type: Of the body.

        Raises:
            PenstockError: What the server says is wrong, of the class it names.
            Unavailable: It is not running, or does not answer.
        """
        raw = self.raw(method, place, query, body, content_type)
        return json.loads(raw) if raw else None

    def raw(
        self,
        method: str,
        place: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Return the answer's bytes; otherwise as ``ask``."""
        with self._connected(self._timeout_s) as connection:
            answer = self._sent(connection, method, place, query, body, content_type)
            try:
                return answer.read()
            except (HTTPException, ConnectionError) as error:
                raise _broken(error) from error

    def stream(
        self, place: str, query: Mapping[str, Any] | None = None, *, ends: bool = False
    ) -> Iterator[tuple[str, str, Any]]:
        """Yield the server-sent events of ``place`` as they come: id, name and data. Blocks between them.

        Args:
            place: Below ``/api/v1``.
            query: Parameters.
            ends: Whether the server may end the stream, for all is said.

        Raises:
            PenstockError: As for ``ask``.
            ConnectionLost: The server went away.
        """
        with self._connected(None) as connection:
            answer = self._sent(connection, "GET", place, query, None, "")
            yield from _server_sent(answer)
        if not ends:
            raise errors.ConnectionLost("Penstock went away; what is under way goes on when it runs again")

    def _connected(self, timeout_s: float | None) -> _Connection:
        return _Connection(self.path, timeout_s)

    def _sent(
        self,
        connection: _Connection,
        method: str,
        place: str,
        query: Mapping[str, Any] | None,
        body: Any,
        content_type: str,
    ) -> HTTPResponse:
        chosen = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        # Paths may hold any bytes; those that are no UTF-8 are surrogates in a text.
        asked = urlencode(chosen, errors="surrogateescape")
        target = f"{ROOT}{place}" + (f"?{asked}" if asked else "")
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if raw is not None else {}
        try:
            connection.request(method, target, raw, headers)
            answer = connection.getresponse()
        except TimeoutError as error:
            raise errors.Timeout(f"Penstock gave no answer within {self._timeout_s:g} s") from error
        except (HTTPException, ConnectionError) as error:
            raise _broken(error) from error
        if answer.status >= 400:
            raise _error(answer)
        return answer


class _Connection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(os.fspath(self._path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise errors.Unavailable(
                "Penstock is not running here; start it with `penstock serve` "
                f"(nobody listens at {self._path})"
            ) from error
        except PermissionError as error:
            raise errors.Forbidden(f"{self._path} belongs to another user; only they may ask") from error
        except OSError as error:
            raise errors.Invalid(
                f"{self._path} cannot be used as a socket: {error}; "
                "choose a shorter --home, or set XDG_RUNTIME_DIR"
            ) from error

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error(answer: HTTPResponse) -> errors.PenstockError:
    raw = answer.read()
    try:
        return problem(json.loads(raw))
    except (ValueError, AttributeError):
        words = raw.decode("utf-8", "replace").strip() or answer.reason
        return problem({"status": answer.status, "detail": words})


def problem(document: Mapping[str, Any]) -> errors.PenstockError:
    """Return the error that problem details (RFC 9457) tell of."""
    kind = str(document.get("type", "")).rsplit(":", 1)[-1].replace("-", "")
    status = int(document.get("status", 500))
    detail = str(document.get("detail") or document.get("title") or f"status {status}")
    default = errors.Refused if status < 500 else errors.Broken
    found = _BY_NAME.get(kind) or _BY_STATUS.get(status) or default
    if issubclass(found, errors.Invalid):
        return found(detail, tuple(map(str, document.get("faults") or ())))
    if issubclass(found, errors.Trimmed):
        return found(detail, str(document.get("first", "0")))
    return found(detail)


_BY_NAME: Mapping[str, type[errors.PenstockError]] = {
    name.lower(): kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.PenstockError)
}
_BY_STATUS: Mapping[int, type[errors.PenstockError]] = {
    kind.status: kind
    for kind in (
        errors.Refused,
        errors.Invalid,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.Unavailable,
        errors.Timeout,
        errors.Throttled,
    )
}


def _server_sent(answer: HTTPResponse) -> Iterator[tuple[str, str, Any]]:
    """Yield the events in a ``text/event-stream``; see the HTML standard, section 9.2."""
    event, name = "", ""
    data: list[str] = []
    try:
        for raw in answer:
            line = raw.decode("utf-8").rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line:
                event = value if field == "id" else event
                name = value if field == "event" else name
                if field == "data":
                    data.append(value)
            elif data:
                yield event, name, json.loads("\n".join(data))
                name, data = "", []
    except (HTTPException, ConnectionError) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> errors.ConnectionLost:
    return errors.ConnectionLost(
        f"Penstock broke the connection ({error}); `penstock status` shows how it is"
    )
