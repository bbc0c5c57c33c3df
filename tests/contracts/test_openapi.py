"""The OpenAPI document says what the server does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest
from flask import Flask
from pydantic import TypeAdapter

from api.answers import dump
from api.errors import STATUS
from api.openapi import document
from api.routes import DOORS, documentation
from api.schemas.workflows import WorkflowBody
from taskengine.domain.errors import EngineError
from taskengine.domain.task import TaskSpec
from taskengine.domain.workflow import WorkflowSpec

DOCUMENT: dict[str, Any] = orjson.loads(dump(document(DOORS)))
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


OPEN = {"GET /v1/workflows/schema"}
"""What needs no key although it is part of the contract: editors fetch the schema."""


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def subclasses(cls: type[EngineError]) -> Iterator[type[EngineError]]:
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_reference_leads_somewhere() -> None:
    assert all(resolved(reference) for reference in references(DOCUMENT))


def test_every_schema_is_a_json_schema() -> None:
    for name in DOCUMENT["components"]["schemas"]:
        jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        )


def test_operations_have_names_and_summaries_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(set(names)) == len(names)
    assert all(operation["summary"].endswith(".") for operation in OPERATIONS.values())


def test_every_error_of_the_engine_has_a_status() -> None:
    assert {cls.code for cls in subclasses(EngineError)} <= set(STATUS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_names_its_refusals(name: str) -> None:
    operation = OPERATIONS[name]
    statuses = set(operation["responses"])

    if "/v1/" in name and name not in OPEN:
        assert {"401", "403", "422", "503"} <= statuses
        assert operation["security"] == [{"bearer": []}, {"apiKey": []}]
    else:
        assert operation["security"] == []
    if "requestBody" in operation:
        assert {"400", "413", "415"} <= statuses
    if name.startswith("POST /v1/"):
        assert "409" in statuses
        assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
    if "{" in name:
        assert "404" in statuses


def test_refusals_are_problem_documents() -> None:
    for response in DOCUMENT["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation])
def test_an_example_meets_its_schema(name: str) -> None:
    for media in OPERATIONS[name]["requestBody"]["content"].values():
        schema = {"$ref": media["schema"]["$ref"], "components": DOCUMENT["components"]}

        jsonschema_rs.Draft202012Validator(schema).validate(media.get("example", {}))


def test_words_of_python_are_not_in_the_document() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    assert "from" in schemas["RetrySpec"]["properties"] and "from" in schemas["Edge"]["required"]
    assert not re.search(r'"\w+_":', dump(DOCUMENT).decode())


def test_the_body_of_a_workflow_has_the_fields_of_a_definition() -> None:
    assert set(WorkflowBody.model_fields) == set(WorkflowSpec.model_fields)


def test_the_document_speaks_snake_case() -> None:
    fields = DOCUMENT["components"]["schemas"]["TaskSpec"]["properties"]

    assert "max_retries" in fields and "maxRetries" not in fields
    assert TypeAdapter(TaskSpec).validate_python({"name": "a", "type": "echo", "maxRetries": 1}).max_retries == 1


@pytest.fixture
def docs() -> Flask:
    """The documentation's own routes."""
    app = Flask("docs", static_folder=None)
    documentation.install(app, DOORS)
    return app


def test_the_documentation_page_needs_nothing_from_elsewhere(docs: Flask) -> None:
    client = docs.test_client()
    page = client.get("/docs", buffered=True)

    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(links) >= 3
    for link in links:
        asset = client.get(link, buffered=True)
        assert link.startswith("/docs/")
        assert (asset.status_code, len(asset.data) > 0) == (200, True)
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    assert client.get("/openapi.json").get_json() == DOCUMENT


@pytest.mark.parametrize("path", ["/docs/../app.py", "/docs/%2e%2e/plugins.py", "/docs/nothing.js"])
def test_the_documentation_serves_its_assets_only(docs: Flask, path: str) -> None:
    assert docs.test_client().get(path, buffered=True).status_code == 404
