"""Hostile input: always a problem that names the place, never a 500, nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from api.app import create_app
from api.errors import PROBLEM
from taskengine import runtime
from taskengine.domain.task import Caller
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from tests.conftest import Bench
from tests.integration.api.conftest import TASK, Api

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"


def refused(response: TestResponse, status: int, code: str, loc: list[Any] | None = None) -> None:
    problem = response.get_json()
    assert response.content_type == PROBLEM
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), response.text
    assert {"type", "title", "detail", "errors"} <= set(problem)
    if loc is not None:
        assert [item["loc"][: len(loc)] for item in problem["errors"]][:1] == [loc]


@pytest.fixture(autouse=True)
def nothing_stored(bench: Bench) -> Iterator[None]:
    """Whatever was sent, no task came of it."""
    yield
    assert bench.sql("SELECT count(*) FROM tasks")[0][0] == 0


@pytest.mark.parametrize(
    ("body", "status", "loc"),
    [
        (b"", 400, ["body"]),
        (b"{", 400, ["body"]),
        (b'{"name": "\xff"}', 400, ["body"]),
        (b"[" * 100_000, 400, ["body"]),
        (b"[]", 422, ["body"]),
        (b'"x"', 422, ["body"]),
        (b'{"name": "a", "type": "echo", "config": []}', 422, ["body", "config"]),
        (b'{"name": "a\\u0000", "type": "echo"}', 422, ["body", "name"]),
        (b'{"name": "\\ud800", "type": "echo"}', 422, ["body", "name"]),
        (b'{"name": "a", "type": "\\u0000"}', 422, ["body", "type"]),
        (b'{"name": "a", "type": "echo", "queue": "\\u0000"}', 422, ["body", "queue"]),
        (b'{"name": "a", "type": "echo", "depends_on": ["\\u0000"]}', 422, ["body", "depends_on", 0]),
        (b'{"name": "a", "type": "echo", "metadata": {"\\u0000": 1}}', 422, ["body", "metadata"]),
        (b'{"name": "a", "type": "echo", "config": {"message": 1e999}}', 422, ["body", "config"]),
        (b'{"name": "a", "type": "echo", "max_retries": 1e30}', 422, ["body", "max_retries"]),
        (b'{"name": "a", "type": "echo", "timeout_seconds": 1e300}', 422, ["body", "timeout_seconds"]),
        (b'{"name": "a", "type": "echo", "\\ud800": 1}', 422, ["body"]),
        (b'{"name": "a", "type": "echo", "input_schema": {"type": "nonsense"}}', 422, ["body", "input_schema"]),
        (b'{"name": "a", "type": "echo", "config": {"message": "{{ 1 +"}}', 422, ["body", "config"]),
    ],
)
def test_a_hostile_body_is_refused(api: Api, body: bytes, status: int, loc: list[Any]) -> None:
    code = "invalid_input" if status == 422 else "malformed_request"

    refused(api.raw("POST", "/v1/tasks", body), status, code, loc)


@pytest.mark.parametrize("depth", [100, 900, 5_000, 100_000])
def test_deep_nesting_is_refused(api: Api, depth: int) -> None:
    nested = b'{"name": "a", "type": "echo", "config": {"message": ' + b"[" * depth + b"]" * depth + b"}}"

    response = api.raw("POST", "/v1/tasks", nested)

    assert response.status_code in {400, 422}
    assert response.get_json()["errors"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=x"])
def test_only_json_is_read(api: Api, kind: str) -> None:
    response = api("POST", "/v1/tasks", data=b"{}", headers={"Content-Type": kind})

    refused(response, 415, "unsupported_media_type")


def test_a_compressed_body_is_not_unpacked(api: Api) -> None:
    refused(api.raw("POST", "/v1/tasks", b"x", Content_Encoding="gzip"), 415, "unsupported_media_type")


@pytest.fixture
def small(engine: Engine, caller: Caller) -> Iterator[Api]:
    """An API that reads bodies of up to a kilobyte."""
    made = runtime.build(engine.settings.model_copy(update={"max_body_bytes": 1024}))
    yield Api(create_app(made).test_client(), keys.create(engine, caller, "small", ["admin"])["key"])
    made.close()


def test_a_body_over_the_limit_is_refused(small: Api) -> None:
    refused(small.raw("POST", "/v1/tasks", b"x" * 1025), 413, "body_too_large")


def test_a_body_of_unknown_length_is_refused_while_it_is_read(small: Api) -> None:
    response = small(
        "POST",
        "/v1/tasks",
        input_stream=BytesIO(b"x" * 100_000),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )

    refused(response, 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/tasks/", 404, "not_found"),
        ("GET", "//v1/tasks", 404, "not_found"),
        ("GET", "/v1/tasks/42", 404, "not_found"),
        ("GET", "/v1/tasks/%00", 404, "not_found"),
        ("GET", "/v1/tasks/%ff", 404, "not_found"),
        ("GET", f"/v1/tasks/{NOWHERE}", 404, "not_found"),
        ("GET", f"/v1/tasks/{NOWHERE}?wait=5", 404, "not_found"),
        ("GET", f"/v1/tasks/{NOWHERE}/events", 404, "not_found"),
        ("GET", f"/v1/tasks/{NOWHERE}/executions", 404, "not_found"),
        ("GET", f"/v1/tasks/{NOWHERE}/artifacts", 404, "not_found"),
        ("GET", f"/v1/executions/{NOWHERE}", 404, "not_found"),
        ("GET", f"/v1/executions/{NOWHERE}/logs", 404, "not_found"),
        ("GET", f"/v1/executions/{NOWHERE}/steps", 404, "not_found"),
        ("GET", f"/v1/artifacts/{NOWHERE}", 404, "not_found"),
        ("DELETE", f"/v1/api-keys/{NOWHERE}", 404, "not_found"),
        ("DELETE", "/v1/secrets/NONE", 404, "not_found"),
        ("DELETE", "/v1/secrets/%00", 422, "invalid_input"),
        ("POST", "/v1/queues/nonsense/pause", 404, "not_found"),
        ("POST", "/v1/queues/%00/pause", 422, "invalid_input"),
        ("PUT", "/v1/tasks", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/tasks", 405, "method_not_allowed"),
        ("GET", "/v1/tasks?cursor=%00", 422, "invalid_input"),
        ("GET", "/v1/tasks?cursor=abc", 422, "invalid_input"),
        ("GET", "/v1/secrets?cursor=____", 422, "invalid_input"),
        ("GET", "/v1/dead-letters?cursor=abc", 422, "invalid_input"),
        ("GET", "/v1/task-types?x=1", 422, "invalid_input"),
        ("GET", "/v1/tasks?q=%ff", 400, "malformed_request"),
        ("GET", "/v1/tasks?limit=5&limit=5", 422, "invalid_input"),
        ("DELETE", f"/v1/tasks/{NOWHERE}?force=1", 422, "invalid_input"),
    ],
)
def test_a_hostile_path_or_query_is_refused(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = api(method, path)

    refused(response, status, code)
    assert status != 405 or response.headers["Allow"]
    assert status not in (400, 422) or response.get_json()["errors"]


@pytest.mark.parametrize("text", ['"', "' OR 1=1", "a & | ! b", "((", "-", "\\", "%25", "é", "*" * 300])
def test_any_search_text_finds_or_finds_nothing(api: Api, text: str) -> None:
    assert api("GET", "/v1/tasks", query_string={"q": text}).status_code == 200


def test_an_unexpected_error_shows_nothing_of_the_inside(api: Api, bench: Bench) -> None:
    bench.sql("ALTER TABLE secrets RENAME TO secrets_gone")

    response = api("GET", "/v1/secrets")

    refused(response, 500, "internal_error")
    assert response.get_json()["incident"] in response.get_json()["detail"]
    assert "secrets" not in response.text and "psycopg" not in response.text


def test_without_its_database_the_api_says_try_again(app: Flask, engine: Engine) -> None:
    url = "postgresql://user:hidden@127.0.0.1:1/none"
    broken = runtime.build(engine.settings.model_copy(update={"database_url": url}))

    response = Api(create_app(broken).test_client(), "te_some_key")("POST", "/v1/tasks", json=TASK)
    readiness = Api(create_app(broken).test_client(), None)("GET", "/readyz")
    metrics = Api(create_app(broken).test_client(), None)("GET", "/metrics")
    broken.close()

    refused(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in response.text and "hidden" not in response.text
    assert (readiness.status_code, readiness.get_json()["status"]) == (503, "unavailable")
    assert metrics.status_code == 200
