"""The application: the table of operations, the page, and the door in front of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from penstock.core.errors import PenstockError
from penstock.server.api import (
    coverage,
    definitions,
    events,
    explain,
    letters,
    live,
    logs,
    openapi,
    outputs,
    runs,
    upkeep,
)
from penstock.server.api.access import Access
from penstock.server.api.desk import Desk
from penstock.server.api.operation import JSON, Ask, Operation, Resource
from penstock.server.api.problems import on_bug, on_error, on_http_error


async def _described(_ask: Ask) -> ASGIApp:
    return Response(msgspec.json.encode(openapi.document(OPERATIONS)), media_type=JSON)


OPERATIONS: tuple[Operation, ...] = (
    *upkeep.OPERATIONS,
    *events.OPERATIONS,
    *live.OPERATIONS,
    *definitions.OPERATIONS,
    *runs.OPERATIONS,
    *outputs.OPERATIONS,
    *logs.OPERATIONS,
    *letters.OPERATIONS,
    *explain.OPERATIONS,
    *coverage.OPERATIONS,
    Operation(
        method="GET",
        path="/openapi.json",
        summary="Give this document",
        handler=_described,
        answer=dict[str, Any],
    ),
)
"""Everything that the API can do."""


def build_app(desk: Desk, page: Sequence[BaseRoute] = ()) -> ASGIApp:
    """Return the application.

    Args:
        desk: What it answers from.
        page: Routes of the web page, asked after those of the API. They are behind the same door: whoever
            reaches them is allowed in, and the security headers are added to what they answer.
    """
    by_path: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, []).append(operation)
    routes: list[BaseRoute] = [
        Route(_pattern(path), Resource(desk, operations)) for path, operations in by_path.items()
    ]
    app = Starlette(
        routes=[*routes, *page],
        exception_handlers={PenstockError: on_error, HTTPException: on_http_error, Exception: on_bug},
    )
    app.router.redirect_slashes = False
    return Access(app, desk.keys)


def _pattern(path: str) -> str:
    """Return the path as Starlette has it; names of definitions have slashes."""
    return path.replace("{name}", "{name:path}")
