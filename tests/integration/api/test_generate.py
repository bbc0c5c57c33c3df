"""POST /v1/tasks/generate turns a prompt into a task that could be submitted, and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from taskengine.delivery.language import LanguageServer
from taskengine.lifecycle import keys
from tests.conftest import Bench
from tests.llm_server import API_KEY, MODEL, LlmServer, Raw, running_llm_server

Generate = Callable[..., tuple[int, Any]]
PROMPT = "Extract all product names and prices from https://shop.example.com/lamps"
SCHEMA = '{"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}'


def client_of(bench: Bench) -> Generate:
    client: FlaskClient = create_app(bench.engine).test_client()
    key = keys.create(bench.engine, bench.caller, "client", ["write"])["key"]

    def generate(headers: dict[str, str] | None = None, **body: Any) -> tuple[int, Any]:
        answer = client.post("/v1/tasks/generate", json=body, headers={"X-API-Key": key} | (headers or {}))
        return answer.status_code, answer.get_json()

    return generate


@pytest.fixture
def generate(bench: Bench) -> Generate:
    """Where no language model is set up."""
    return client_of(bench)


@pytest.fixture
def llm(bench: Bench) -> Iterator[LlmServer]:
    with running_llm_server() as server:
        bench.engine.language = LanguageServer(server.url, MODEL, API_KEY)
        yield server


def test_plain_rules_find_address_and_schema(generate: Generate, bench: Bench) -> None:
    status, made = generate(prompt=PROMPT)

    assert status == 200
    assert (made["how"], made["url"], made["navigation_goal"]) == ("rules", "https://shop.example.com/lamps", PROMPT)
    assert list(made["data_schema"]["items"]["properties"]) == ["name", "price"]
    assert bench.sql("SELECT count(*) FROM tasks")[0][0] == 0


def test_the_suggested_task_can_be_submitted(generate: Generate, bench: Bench) -> None:
    _, made = generate(prompt=PROMPT)
    (task_id,) = bench.submit(made["task"])

    assert bench.task(task_id)["type"] == "browser_task"
    assert bench.task(task_id)["config"]["url"] == "https://shop.example.com/lamps"


def test_the_address_may_stand_beside_the_prompt(generate: Generate) -> None:
    status, made = generate(prompt="Click Sign in", url="https://a.example/x")

    assert (status, made["url"], made["data_schema"]) == (200, "https://a.example/x", None)


def test_without_model_and_address_it_says_what_to_set(generate: Generate) -> None:
    status, problem = generate(prompt="Book me a table for two")

    assert (status, problem["code"]) == (422, "llm_not_configured")
    assert "TASKENGINE_LLM_URL" in problem["detail"]


def test_a_model_makes_goal_schema_and_address(llm: LlmServer, bench: Bench) -> None:
    llm.script({"navigation_goal": "Open the lamps.", "url": "https://shop.example.com/lamps", "data_schema": SCHEMA})
    status, made = client_of(bench)(prompt="Which lamps does shop.example.com have?")

    assert (status, made["how"], made["url"]) == (200, "llm", "https://shop.example.com/lamps")
    assert made["task"]["config"]["dataSchema"] == made["data_schema"]
    assert made["task"]["config"]["prompt"] == "Open the lamps."
    assert llm.refused == []


def test_a_schema_that_is_none_is_repaired(llm: LlmServer, bench: Bench) -> None:
    bad = {"navigation_goal": "x", "url": "ftp://a", "data_schema": '{"type": "nonsense"}'}
    llm.script(bad, bad | {"url": None, "data_schema": None})
    status, made = client_of(bench)(prompt="Do it", url="https://a.example")

    assert (status, made["url"], made["data_schema"]) == (200, "https://a.example", None)
    assert "data_schema" in llm.requests[1].last and "http or https" in llm.requests[1].last


def test_a_model_that_fails_is_told(llm: LlmServer, bench: Bench) -> None:
    llm.rule(lambda request: Raw(status=500, error="out of order"))
    status, problem = client_of(bench)(prompt=PROMPT)

    assert (status, problem["code"]) == (502, "llm_failed")
    assert "out of order" in problem["detail"]


def test_the_same_request_with_a_key_asks_once(llm: LlmServer, bench: Bench) -> None:
    llm.rule(lambda request: {"navigation_goal": "Open.", "url": "https://a.example", "data_schema": None})
    generate = client_of(bench)
    first = generate({"Idempotency-Key": "k1"}, prompt=PROMPT)

    assert generate({"Idempotency-Key": "k1"}, prompt=PROMPT) == first
    assert len(llm.requests) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"prompt": ""}, {"prompt": "x\0"}, {"prompt": "x", "url": "file:///etc/passwd"}, {"prompt": "x", "y": 1}],
)
def test_bad_bodies_are_refused(body: dict[str, Any], generate: Generate) -> None:
    status, problem = generate(**body)

    assert (status, problem["code"]) == (422, "invalid_input")


def test_the_language_server_hides_its_key() -> None:
    server = LanguageServer("https://a.example/v1", "m", "sk-secret")
    assert "sk-secret" not in repr(replace(server))
