"""The OpenAPI document is valid and complete, and requests made from it are answered as it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.server.api.served import Served

from penstock.server.api import reference
from penstock.server.api.app import OPERATIONS
from penstock.server.api.openapi import document

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "api.md"
FUZZED = [
    (operation.method, operation.path)
    for operation in OPERATIONS
    if not operation.stream and operation.path not in ("/api/v1/stop", "/api/v1/backup")
]


def test_each_operation_is_in_the_document_once() -> None:
    found = document(OPERATIONS)
    pairs = [(method.upper(), path) for path, methods in found["paths"].items() for method in methods]
    assert sorted(pairs) == sorted((operation.method, operation.path) for operation in OPERATIONS)
    names = [each["operationId"] for methods in found["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    found = document(OPERATIONS)
    schemas = found["components"]["schemas"]
    text = json.dumps(found)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas
    for name in schemas:
        jsonschema_rs.validator_for(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        )


def test_the_reference_is_up_to_date() -> None:
    assert reference.markdown(document(OPERATIONS)) in DOCS.read_text(), (
        "run: python -m penstock.server.api.reference docs/reference/api.md"
    )


def test_the_document_is_served(served: Served) -> None:
    assert served.ask_api("GET", "/openapi.json").json() == json.loads(json.dumps(document(OPERATIONS)))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("method", "path"), FUZZED)
def test_requests_made_from_the_document_are_answered_as_it_says(
    served: Served, method: str, path: str
) -> None:
    schema: Any = schemathesis.openapi.from_dict(document(OPERATIONS))
    schema.config.update(base_url=f"http://127.0.0.1:{served.port}")
    headers = {"Authorization": f"Bearer {served.token}"}

    operation = schema[path][method]

    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def answered(case: Any) -> None:
        case.call_and_validate(
            headers=headers,
            timeout=20,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    answered()
