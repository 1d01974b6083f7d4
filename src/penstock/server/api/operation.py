"""One operation of the API: what it takes, what it answers, and what does it.

The table of operations is the API: requests are read, checked and answered by it, and the OpenAPI
document is made from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.core.errors import Invalid, PenstockError, Timeout
from penstock.server.api.desk import Desk
from penstock.server.api.problems import TooLarge, UnsupportedMedia, on_http_error, response_of

BODY_BYTES_MAX = 8 << 20
"""Longest body of a request, where an operation has no limit of its own."""
DISCARDED_BYTES_MAX = 16 << 20
"""How much of a body that is too long is still read, so that the client sees why it is refused."""
BODY_S_MAX = 60.0
"""Longest time in which a body must have arrived, in seconds."""
JSON = "application/json"


class Ask:
    """One request, checked.

    Attributes:
        desk: What there is to answer from.
        names: Parts of the path.
        query: The query string, as the operation's struct.
        body: The body, as the operation's type.
        headers: Of the request.
    """

    def __init__(self, desk: Desk, scope: Scope, receive: Receive) -> None:
        self.desk = desk
        self.names: Mapping[str, str] = scope.get("path_params", {})
        self.headers = Headers(scope=scope)
        self.query: Any = None
        self.body: Any = None
        self._receive = receive

    async def read(self, limit: int) -> bytes:
        """Return the body; never more than ``limit`` bytes of it are held.

        Raises:
            TooLarge: It is longer.
            Timeout: It comes too slowly.
        """
        announced = self.headers.get("content-length", "0")
        size = int(announced) if announced.isdigit() else 0
        body = bytearray()
        taken = 0
        try:
            async with asyncio.timeout(BODY_S_MAX):
                # What is a little too long is read to its end and thrown away: a client that is cut off
                # while it sends never sees the answer.
                more = size <= limit or (size <= limit + DISCARDED_BYTES_MAX and "expect" not in self.headers)
                while more and taken <= limit + DISCARDED_BYTES_MAX:
                    chunk, more = await self._next()
                    taken += len(chunk)
                    body += chunk if taken <= limit else b""
        except TimeoutError as error:
            raise Timeout(f"the body did not arrive within {BODY_S_MAX:g} s") from error
        if max(size, taken) > limit:
            raise TooLarge(f"the body is longer than the {limit} bytes that are taken")
        return bytes(body)

    async def _next(self) -> tuple[bytes, bool]:
        """Return the next piece of the body, and whether more follows."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise Timeout("the client went away")
        return message.get("body", b""), message.get("more_body", False)


Handler = Callable[[Ask], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation.

    Attributes:
        method: HTTP method.
        path: With ``{names}``; ``{name:path}`` may hold slashes.
        summary: One line for people.
        handler: Returns the answer: a struct or list of structs, or an ASGI application (a stream, a file).
        query: Struct of the query string.
        body: Type of the JSON body.
        answer: Type of the JSON answer; None where ``media`` says what comes.
        status: Of a good answer.
        media: Content types of answers that are no JSON, or not only.
        takes: Content types of a body that the handler reads itself, with their schemas.
        errors: Statuses it may answer beside those that every operation, or every one with a body, may.
        stream: Whether its answer does not end by itself.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    query: type[Struct] | None = None
    body: Any = None
    answer: Any = None
    status: int = 200
    media: tuple[str, ...] = ()
    takes: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    stream: bool = False


class Noun:
    """Makes the operations of one noun: all are at, or ``below``, one path.

    Args:
        path: Of the noun.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self, summary: str, handler: Handler, answer: Any = None, **more: Any) -> Operation:
        """Return an operation that looks; ``more`` are further fields of ``Operation``."""
        return self._operation("GET", summary, handler, answer, **more)

    def post(self, summary: str, handler: Handler, answer: Any = None, **more: Any) -> Operation:
        """Return an operation that does something or makes something new."""
        return self._operation("POST", summary, handler, answer, **more)

    def patch(self, summary: str, handler: Handler, answer: Any = None, **more: Any) -> Operation:
        """Return an operation that changes something."""
        return self._operation("PATCH", summary, handler, answer, **more)

    def delete(self, summary: str, handler: Handler, answer: Any = None, **more: Any) -> Operation:
        """Return an operation that takes something away."""
        return self._operation("DELETE", summary, handler, answer, **more)

    def _operation(
        self, method: str, summary: str, handler: Handler, answer: Any, below: str = "", **more: Any
    ) -> Operation:
        return Operation(
            method=method, path=self._path + below, summary=summary, handler=handler, answer=answer, **more
        )


class Resource:
    """ASGI application for all operations of one path."""

    def __init__(self, desk: Desk, operations: Sequence[Operation]) -> None:
        """Answer from ``desk``."""
        self._desk = desk
        self._operations = {operation.method: operation for operation in operations}
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        operation = self._operations.get(scope["method"])
        if operation is None:
            application: ASGIApp = await self._not_allowed()
        else:
            try:
                application = await _answer(operation, self._desk, scope, receive)
            except PenstockError as error:
                application = response_of(error)
        await application(scope, receive, send)

    async def _not_allowed(self) -> Response:
        from starlette.exceptions import HTTPException

        allowed = ", ".join(sorted(self._operations))
        error = HTTPException(405, f"allowed here: {allowed}", {"Allow": allowed})
        return await on_http_error(None, error)  # type: ignore[arg-type]


async def _answer(operation: Operation, desk: Desk, scope: Scope, receive: Receive) -> ASGIApp:
    ask = Ask(desk, scope, receive)
    ask.query = _query(operation.query, scope["query_string"])
    if operation.body is not None:
        ask.body = _body(operation.body, ask.headers, await ask.read(BODY_BYTES_MAX))
    answer = await operation.handler(ask)
    if callable(answer):
        return answer  # type: ignore[no-any-return]
    return Response(msgspec.json.encode(answer), operation.status, media_type=JSON)


def _query(kind: type[Struct] | None, raw: bytes) -> Any:
    given = QueryParams(_pairs(raw))
    known = {f.encode_name for f in msgspec.structs.fields(kind)} if kind is not None else set()
    faults = [f"query parameter {name!r} is unknown" for name in given if name not in known]
    faults += [f"query parameter {name!r} is given twice" for name in given if len(given.getlist(name)) > 1]
    if faults:
        listed = ", ".join(sorted(known)) or "none"
        raise Invalid(f"the query string is wrong; known parameters are: {listed}", tuple(sorted(faults)))
    if kind is None:
        return None
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"the query string is wrong: {error}") from error


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    """Return names and values; only a path keeps bytes that are no UTF-8, as surrogates."""
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    return [(_whole(name), value if name == "path" else _whole(value)) for name, value in pairs]


def _whole(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _body(kind: Any, headers: Headers, raw: bytes) -> Any:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != JSON:
        raise UnsupportedMedia(f"the content type is {media!r}; expected {JSON}")
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body is wrong: {error}") from error
