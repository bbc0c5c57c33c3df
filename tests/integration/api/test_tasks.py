"""The task routes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.app import create_app
from taskengine import runtime
from taskengine.domain.task import Caller
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from tests.conftest import Bench
from tests.integration.api.conftest import TASK, Api


def test_a_task_is_created_and_shown(api: Api) -> None:
    response = api("POST", "/v1/tasks", json=TASK | {"priority": "high", "tags": ["a"]})

    task = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/tasks/{task['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"]
    assert (task["status"], task["priority"], task["tags"]) == ("queued", "high", ["a"])
    assert task["created_at"].endswith("Z")
    assert api.task(task["id"])["config"] == {"message": "hello"}


def test_other_spellings_of_fields_are_understood(api: Api) -> None:
    body = {"title": "t", "task_type": "echo", "execution_config": {"message": 1}, "maxRetries": 0}

    task = api("POST", "/v1/tasks", json=body).get_json()

    assert (task["name"], task["type"], task["config"], task["max_retries"]) == ("t", "echo", {"message": 1}, 0)


def test_the_request_id_of_the_client_comes_back(api: Api) -> None:
    assert api("GET", "/healthz", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    assert api("GET", "/healthz", headers={"X-Request-Id": "a b\x01"}).headers["X-Request-Id"] != "a b\x01"


def test_a_config_that_does_not_fit_its_type_is_refused_by_field(api: Api) -> None:
    response = api("POST", "/v1/tasks", json=TASK | {"config": {"sleep_seconds": "long", "surprise": 1}})

    places = {tuple(item["loc"]): item["msg"] for item in response.get_json()["errors"]}
    assert response.status_code == 422
    assert ("body", "config", "surprise") in places
    assert any(place[:2] == ("body", "config") and "sleep" in str(place[2]).lower() for place in places)
    assert api("GET", "/v1/tasks").get_json()["items"] == []


def test_a_batch_is_stored_whole_and_may_depend_on_itself(api: Api) -> None:
    tasks = [TASK | {"key": "a"}, TASK | {"depends_on": ["a"]}]

    response = api("POST", "/v1/tasks/batch", json={"tasks": tasks})

    first, second = response.get_json()["ids"]
    assert response.status_code == 201
    assert api.task(second)["depends_on"] == [first]
    assert api.task(second)["status"] == "pending"


@pytest.mark.parametrize(
    ("wrong", "code", "loc"),
    [
        ({"type": "nonsense"}, "invalid_input", ["body", "tasks", 1, "type"]),
        ({"config": {"x": 1}}, "invalid_input", ["body", "tasks", 1, "config", "x"]),
        ({"name": 5}, "invalid_input", ["body", "tasks", 1, "name"]),
        ({"depends_on": ["nobody"]}, "unknown_dependency", ["body", "tasks", 1, "depends_on", 0]),
        ({"key": "b", "depends_on": ["b"]}, "circular_dependency", ["body", "tasks", 1, "depends_on", 0]),
        ({"depends_on": [str(uuid4())]}, "unknown_dependency", ["body", "tasks", 1, "depends_on"]),
    ],
)
def test_one_wrong_entry_stores_nothing_of_the_batch(api: Api, wrong: Any, code: str, loc: list[Any]) -> None:
    response = api("POST", "/v1/tasks/batch", json={"tasks": [TASK, TASK | wrong]})

    problem = response.get_json()
    assert (response.status_code, problem["code"], problem["errors"][0]["loc"]) == (422, code, loc)
    assert api("GET", "/v1/tasks").get_json()["items"] == []


def test_a_cycle_is_named(api: Api) -> None:
    tasks = [TASK | {"key": "a", "depends_on": ["b"]}, TASK | {"key": "b", "depends_on": ["a"]}]

    problem = api("POST", "/v1/tasks/batch", json={"tasks": tasks}).get_json()

    assert problem["code"] == "circular_dependency"
    assert "a" in problem["detail"] and "b" in problem["detail"]


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_one_to_ten_thousand_entries(api: Api, count: int) -> None:
    response = api("POST", "/v1/tasks/batch", json={"tasks": [TASK] * count})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["loc"] == ["body", "tasks"]


def test_a_batch_of_ten_thousand_is_one_request(api: Api) -> None:
    response = api("POST", "/v1/tasks/batch", json={"tasks": [TASK] * 10_000})

    assert response.status_code == 201
    assert len(set(response.get_json()["ids"])) == 10_000


def test_lists_are_paged_newest_first(api: Api) -> None:
    made = [api.create(name=f"n{number}")["id"] for number in range(5)]
    seen: list[str] = []
    query = "?limit=2"

    while query:
        page = api("GET", f"/v1/tasks{query}").get_json()
        seen += [task["id"] for task in page["items"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "status=queued",
        "status=ready",
        "status=failed&status=queued",
        "status=failed,queued",
        "type=echo",
        "queue=integration",
        "tag=blue",
        "assigned_to=ann",
        "priority=high",
        "created_after=2020-01-01T00:00:00Z",
        "created_before=2100-01-01T00:00:00%2B02:00",
        "q=invoice",
    ],
)
def test_each_filter_finds_what_fits(api: Api, query: str) -> None:
    wanted = api.create(name="the invoice", tags=["blue"], assigned_to="ann", priority="high")["id"]

    found = api("GET", f"/v1/tasks?{query}").get_json()["items"]

    assert [task["id"] for task in found] == [wanted]


@pytest.mark.parametrize(
    "query",
    [
        "status=failed",
        "type=other",
        "queue=browser",
        "tag=red",
        "assigned_to=bob",
        "priority=low",
        "run_id=45eb6459-ec95-47b5-8f3f-c697911badaa",
        "created_before=2020-01-01T00:00:00Z",
        "created_after=2100-01-01T00:00:00Z",
        "q=receipt",
    ],
)
def test_each_filter_leaves_out_what_does_not_fit(api: Api, query: str) -> None:
    api.create(name="the invoice", tags=["blue"], assigned_to="ann", priority="high")

    assert api("GET", f"/v1/tasks?{query}").get_json()["items"] == []


def test_a_wait_ends_with_the_task(api: Api, bench: Bench) -> None:
    task_id = api.create()["id"]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api, "GET", f"/v1/tasks/{task_id}?wait=30")
        bench.work(UUID(task_id))
        task = waiting.result(30).get_json()

    assert (task["status"], task["result"]) == ("completed", {"message": "hello"})


def test_a_wait_that_is_too_short_shows_the_task_as_it_stands(api: Api) -> None:
    response = api("POST", "/v1/tasks?wait=0.05", json=TASK)

    assert response.status_code == 201
    assert response.get_json()["status"] == "queued"


def test_more_waiting_requests_than_seats_are_answered_at_once(engine: Engine, caller: Caller, bench: Bench) -> None:
    narrow = runtime.build(engine.settings.model_copy(update={"api_threads": 1}))
    api = Api(create_app(narrow).test_client(), keys.create(engine, caller, "narrow", ["write"])["key"])
    path = f"/v1/tasks/{api.create()['id']}?wait=30"

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(api, "GET", path) for _ in range(2)]
        first = next(as_completed(both, timeout=25))
        assert first.result().get_json()["status"] == "queued"
        bench.work(UUID(first.result().get_json()["id"]))
        assert {one.result(25).get_json()["status"] for one in both} == {"queued", "completed"}
    narrow.close()


def test_a_task_is_changed_before_it_starts(api: Api) -> None:
    task_id = api.create()["id"]

    response = api("PATCH", f"/v1/tasks/{task_id}", json={"priority": "critical", "config": {"message": 2}})

    assert response.status_code == 200
    assert (response.get_json()["priority"], response.get_json()["config"]) == ("critical", {"message": 2})


@pytest.mark.parametrize(
    ("change", "field"), [({"config": {"x": 1}}, "config"), ({"name": None}, "name"), ({"status": "queued"}, "status")]
)
def test_a_change_that_does_not_fit_is_refused_by_field(api: Api, change: Any, field: str) -> None:
    response = api("PATCH", f"/v1/tasks/{api.create()['id']}", json=change)

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["loc"][:2] == ["body", field]


def test_a_task_is_steered_by_its_verbs(api: Api) -> None:
    task_id = api.create(execution_type="manual", requires_human_review=True)["id"]

    def do(verb: str, **body: Any) -> str:
        response = api("POST", f"/v1/tasks/{task_id}/{verb}", json=body)
        assert response.status_code == 200, response.text
        return str(response.get_json()["status"])

    assert do("pause") == "paused"
    assert do("resume") == "pending"
    assert do("approve", notes="fine") == "pending"
    assert do("execute") == "queued"
    assert do("cancel", reason="enough") == "cancelled"
    assert api.task(task_id)["cancel_reason"] == "enough"
    assert do("retry") == "queued"


def test_a_rejected_task_is_cancelled(api: Api) -> None:
    task_id = api.create(requires_human_review=True)["id"]

    assert api("POST", f"/v1/tasks/{task_id}/reject", json={"reason": "no"}).get_json()["status"] == "cancelled"


def test_a_verb_takes_no_body_or_an_empty_one(api: Api) -> None:
    path = f"/v1/tasks/{api.create()['id']}"

    assert api("POST", f"{path}/pause").status_code == 200
    assert api("POST", f"{path}/resume", json={}).status_code == 200
    assert api("POST", f"{path}/pause", json={"x": 1}).status_code == 422


def test_an_impossible_move_names_what_is_allowed(api: Api) -> None:
    path = f"/v1/tasks/{api.create()['id']}"
    api("POST", f"{path}/cancel")

    response = api("POST", f"{path}/cancel")

    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (409, "invalid_transition")
    assert (problem["from"], problem["to"]) == ("cancelled", "cancelled")
    assert "queued" in problem["allowed"]


def test_a_deleted_task_is_gone(api: Api) -> None:
    path = f"/v1/tasks/{api.create()['id']}"

    assert api("DELETE", path).status_code == 204
    assert api("GET", path).status_code == 404
    assert api("DELETE", path).status_code == 404


def test_explain_names_the_blocker(api: Api) -> None:
    task_id = api.create(execution_type="manual")["id"]

    explanation = api("GET", f"/v1/tasks/{task_id}/explain").get_json()

    assert "manual_trigger" in [blocker["kind"] for blocker in explanation["blockers"]]
