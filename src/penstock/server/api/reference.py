"""The reference page of the API, made from its OpenAPI document.

``python -m penstock.server.api.reference FILE`` renews the part of FILE behind the marker.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock.server.api.app import OPERATIONS
from penstock.server.api.openapi import document

MARKER = "<!-- Generated from the OpenAPI document. -->\n"


def markdown(found: dict[str, Any]) -> str:
    """Return the operations and types of an OpenAPI document as Markdown."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield MARKER
    yield "## Operations"
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield from _operation(method.upper(), path, operation)
    yield "\n## Types"
    for name, schema in sorted(found["components"]["schemas"].items()):
        yield from _type(name, schema)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"\n### `{method} {path}`\n"
    yield f"{operation['summary']}.\n"
    queries = [each for each in operation["parameters"] if each["in"] == "query"]
    if queries:
        yield "| parameter | type | default | |"
        yield "| --- | --- | --- | --- |"
        for each in queries:
            schema = each["schema"]
            default, words = _code(schema.get("default", "")), schema.get("description", "")
            yield f"| `{each['name']}` | {_kind(schema)} | {default} | {words} |"
        yield ""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Takes `{media}`: {_kind(content['schema'])}.\n"
    yield from _responses(operation["responses"])


def _responses(responses: dict[str, Any]) -> Iterator[str]:
    for status, response in responses.items():
        if status.startswith("2"):
            for media, content in response["content"].items():
                yield f"Answers {status} `{media}`: {_kind(content['schema'])}.\n"
    refused = ", ".join(status for status in responses if not status.startswith("2"))
    yield f"Or a problem: {refused}."


def _type(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n"
    if schema.get("description"):
        yield schema["description"].split("\n\n")[0].strip() + "\n"
    if "enum" in schema:
        yield "One of " + ", ".join(_code(each) for each in schema["enum"]) + "."
        return
    yield "| member | type | |"
    yield "| --- | --- | --- |"
    for member, kind in schema.get("properties", {}).items():
        needed = "required" if member in schema.get("required", ()) else ""
        yield f"| `{member}` | {_kind(kind)} | {needed} |"


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(_code(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if "items" in schema else "list"
    return str(schema.get("type", "anything"))


def _code(value: Any) -> str:
    return "" if value == "" else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> None:
    """Renew the file that is named."""
    file = Path(sys.argv[1])
    before = file.read_text(encoding="utf-8").partition(MARKER)[0]
    file.write_text(before + markdown(document(OPERATIONS)), encoding="utf-8")


if __name__ == "__main__":
    main()
