"""Idempotency-Key: once or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import orjson
import pytest

from taskengine.lifecycle.engine import Engine
from taskengine.store.cipher import Cipher, new_key
from tests.conftest import Bench
from tests.integration.api.conftest import TASK, Api

KEY = {"Idempotency-Key": "k-1"}


def count(api: Api) -> int:
    return len(api("GET", "/v1/tasks?limit=500").get_json()["items"])


def test_the_same_request_gets_the_first_answer_again(api: Api) -> None:
    first = api("POST", "/v1/tasks", json=TASK, headers=KEY)
    api("POST", f"/v1/tasks/{first.get_json()['id']}/cancel")

    again = api("POST", "/v1/tasks", json=TASK, headers=KEY)

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.data, again.headers["Location"]) == (201, first.data, first.headers["Location"])
    assert count(api) == 1


def test_another_request_with_the_key_is_a_conflict(api: Api) -> None:
    task = api("POST", "/v1/tasks", json=TASK, headers=KEY).get_json()

    for path, body in (("/v1/tasks", TASK | {"name": "x"}), (f"/v1/tasks/{task['id']}/cancel", {})):
        response = api("POST", path, json=body, headers=KEY)
        assert (response.status_code, response.get_json()["code"]) == (409, "idempotency_conflict")

    assert count(api) == 1


def test_many_at_once_run_once(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api("POST", "/v1/tasks", json=TASK, headers=KEY), range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 7
    assert count(api) == 1


def test_a_refused_request_leaves_the_key_free(api: Api) -> None:
    wrong = TASK | {"config": {"x": 1}}

    assert api("POST", "/v1/tasks", json=wrong, headers=KEY).status_code == 422
    assert api("POST", "/v1/tasks", json=TASK, headers=KEY).status_code == 201


def test_a_batch_is_published_once_and_only_after_its_commit(api: Api, bench: Bench) -> None:
    body = {"tasks": [TASK] * 3}

    first = api("POST", "/v1/tasks/batch", json=body, headers=KEY).get_json()["ids"]
    again = api("POST", "/v1/tasks/batch", json=body, headers=KEY).get_json()["ids"]

    assert first == again
    assert bench.work(*map(UUID, first)) == 3


def test_a_repeated_wait_waits_again(api: Api, bench: Bench) -> None:
    task_id = api("POST", "/v1/tasks?wait=0.01", json=TASK, headers=KEY).get_json()["id"]
    bench.work(UUID(task_id))

    again = api("POST", "/v1/tasks?wait=5", json=TASK, headers=KEY)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json()["status"] == "completed"


def test_a_new_api_key_is_given_again_but_not_stored_readable(api: Api, bench: Bench) -> None:
    body = {"name": "ci", "scopes": ["read"]}

    first = api("POST", "/v1/api-keys", json=body, headers=KEY)
    again = api("POST", "/v1/api-keys", json=body, headers=KEY)

    assert again.data == first.data
    [[stored]] = bench.sql("SELECT body FROM idempotency_keys WHERE key = 'k-1'")
    assert orjson.loads(first.data)["key"].encode() not in bytes(stored)


def test_an_answer_stored_under_another_encryption_key_is_a_conflict(api: Api, engine: Engine) -> None:
    body = {"name": "ci", "scopes": ["read"]}
    assert api("POST", "/v1/api-keys", json=body, headers=KEY).status_code == 201
    engine.cipher = Cipher(new_key())

    again = api("POST", "/v1/api-keys", json=body, headers=KEY)

    assert (again.status_code, again.get_json()["code"]) == (409, "idempotency_conflict")
    assert "stored under another encryption key" in again.get_json()["detail"]
    assert [item["name"] for item in api("GET", "/v1/api-keys").get_json()["items"]].count("ci") == 1
    assert api("POST", "/v1/api-keys", json=body, headers={"Idempotency-Key": "k-2"}).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a" * 256, "\x01"])
def test_a_key_is_visible_ascii(api: Api, key: str) -> None:
    response = api("POST", "/v1/tasks", json=TASK, headers={"Idempotency-Key": key})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]
