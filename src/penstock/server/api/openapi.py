"""The OpenAPI document, made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock import __version__
from penstock.server.api.operation import JSON, Operation
from penstock.server.api.problems import MEDIA as PROBLEM
from penstock.server.api.problems import Problem

ALWAYS = (401, 403, 422, 503, 504)
"""Statuses that every operation may answer: the doors, a wrong query, a state that is away."""
WITH_BODY = (413, 415)
"""What every operation with a body may answer besides."""
_WORDS = {
    200: "Done",
    201: "Made",
    401: "The token is missing or wrong",
    403: "Not allowed",
    404: "There is no such thing",
    409: "It exists already, has ended, or changed meanwhile",
    410: "Retention has removed it",
    413: "The request is too large",
    415: "The content type is not understood",
    422: "The request is malformed; every fault is named",
    429: "A limit is reached; try again later",
    500: "It was tried and failed",
    503: "Not now; try again after Retry-After",
    504: "No answer in time; try again later",
}
_NAME = re.compile(r"\{(\w+)\}")


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of ``operations``."""
    types: list[Any] = [Problem]
    for operation in operations:
        types += [kind for kind in (operation.body, operation.answer, operation.query) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    known = {id(kind): found for kind, found in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _Described(operation, known, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described.document()
    queries = {operation.query.__name__ for operation in operations if operation.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": __version__,
            "description": "Storage events in, science out. Errors are problem details (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": {name: found for name, found in components.items() if name not in queries},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "penstock-PORT"},
            },
        },
    }


class _Described:
    """One operation in words of OpenAPI."""

    def __init__(self, operation: Operation, known: dict[int, Any], components: dict[str, Any]) -> None:
        self._operation = operation
        self._known = known
        self._components = components

    def document(self) -> dict[str, Any]:
        operation = self._operation
        found: dict[str, Any] = {
            "operationId": _identifier(operation),
            "summary": operation.summary,
            "parameters": [*self._in_path(), *self._in_query()],
            "responses": self._responses(),
        }
        body = self._body()
        if body:
            found["requestBody"] = {"required": True, "content": body}
        return found

    def _in_path(self) -> list[dict[str, Any]]:
        text = {"type": "string", "minLength": 1}
        return [
            {"name": name, "in": "path", "required": True, "schema": text}
            for name in _NAME.findall(self._operation.path)
        ]

    def _in_query(self) -> list[dict[str, Any]]:
        if self._operation.query is None:
            return []
        schema = self._components[self._operation.query.__name__]
        return [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": found}
            for name, found in schema["properties"].items()
        ]

    def _body(self) -> dict[str, Any]:
        operation = self._operation
        if operation.body is not None:
            return {JSON: {"schema": self._known[id(operation.body)]}}
        return {media: {"schema": schema} for media, schema in operation.takes.items()}

    def _responses(self) -> dict[str, Any]:
        operation = self._operation
        good: dict[str, Any] = {media: {"schema": {"type": "string"}} for media in operation.media}
        if operation.answer is not None:
            good[JSON] = {"schema": self._known[id(operation.answer)]}
        found: dict[str, Any] = {
            str(operation.status): {"description": _WORDS[operation.status], "content": good}
        }
        more = WITH_BODY if operation.body is not None or operation.takes else ()
        for status in sorted({*ALWAYS, *more, *operation.errors}):
            found[str(status)] = {
                "description": _WORDS[status],
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        return found


def _identifier(operation: Operation) -> str:
    words = re.sub(r"[^a-z0-9]+", " ", operation.path.removeprefix("/api/v1").lower()).split()
    return "_".join((operation.method.lower(), *words))
