"""Answers of a simulated frontend: documents and problems."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

_TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def json_answer(value: Any, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def problem(status: int, detail: str) -> web.Response:
    """Return an error as dCache words it."""
    return json_answer(
        {"status": str(status), "title": _TITLES.get(status, "Error"), "detail": detail}, status
    )
