"""Errors as problem details (RFC 9457): the tree of ``core.errors`` gives status and kind."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.core.errors import Invalid, PenstockError, Refused, Trimmed, Unavailable

MEDIA = "application/problem+json"
_TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    500: "Internal error",
}


class TooLarge(Refused):
    """The request is larger than the limit, which the message names."""

    status = 413


class UnsupportedMedia(Refused):
    """The request's content type is none that is understood here; the message names those."""

    status = 415


class Problem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why it was not done (RFC 9457).

    Attributes:
        type: Names the kind of problem: ``urn:penstock:problem:not-found`` and the like.
        title: The kind, in words.
        status: The HTTP status.
        detail: What is wrong, and what to do.
        faults: Every fault in the request, each with its place.
        first: The oldest position of the log that is left, where that was the trouble.
    """

    type: str
    title: str
    status: int
    detail: str
    faults: tuple[str, ...] = ()
    first: str = ""


def problem_of(error: PenstockError) -> Problem:
    """Return the problem that an error is."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    faults = error.faults if isinstance(error, Invalid) else ()
    return Problem(
        type=f"urn:penstock:problem:{words.replace(' ', '-')}",
        title=words.capitalize(),
        status=error.status,
        detail=str(error).split("\n", 1)[0] if faults else str(error),
        faults=tuple(faults),
        first=error.first if isinstance(error, Trimmed) else "",
    )


def response_of(error: PenstockError) -> Response:
    """Return the response that tells of an error."""
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == TooLarge.status:
        # What was not read stays on the line; nothing more can be understood on it.
        headers["Connection"] = "close"
    return _response(problem_of(error), headers)


def _response(problem: Problem, headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(problem), problem.status, headers, media_type=MEDIA)


async def on_error(_request: Request, error: Exception) -> Response:
    """Answer an error of the tree (for Starlette)."""
    assert isinstance(error, PenstockError)
    return response_of(error)


async def on_http_error(_request: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses (for Starlette)."""
    assert isinstance(error, HTTPException)
    title = _TITLES.get(error.status_code, "Refused")
    name = title.lower().replace(" ", "-")
    problem = Problem(
        type=f"urn:penstock:problem:{name}", title=title, status=error.status_code, detail=error.detail
    )
    return _response(problem, dict(error.headers or {}))


async def on_bug(_request: Request, _error: Exception) -> Response:
    """Answer a mistake of ours (for Starlette); the error itself goes to the log of the process."""
    problem = Problem(
        type="urn:penstock:problem:broken",
        title="Broken",
        status=500,
        detail="Penstock made a mistake; its log has the details",
    )
    return _response(problem, {})


def schema() -> dict[str, Any]:
    """Return the JSON schema of a problem."""
    (found,), _ = msgspec.json.schema_components([Problem])
    return found
