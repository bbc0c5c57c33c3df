"""/v1/agents and /v1/leases over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from api.schemas.agents import Agent, AgentSummary, Extended, Lease, LeaseEnd, Leases, OpenLease
from taskengine.lifecycle import keys, recover
from taskengine.lifecycle.engine import Engine
from tests.conftest import Bench
from tests.integration.api.conftest import Api, fits
from tests.integration.lifecycle.agents import fall_silent

ANN: dict[str, Any] = {"id": "ann", "type": "codegen", "capabilities": ["code_analysis", "code_generation"]}
WORK: dict[str, Any] = {"type": "custom", "config": {"capability": "code_analysis", "payload": [1, 2]}}


@pytest.fixture
def other(api: Api, engine: Engine) -> Api:
    """A key of another organization."""
    return Api(api._client, str(keys.add_organization(engine, "other")["key"]))


def lease(api: Api, agent_id: str = "ann", **body: Any) -> list[dict[str, Any]]:
    answer = api("POST", f"/v1/agents/{agent_id}/lease", json=body)
    assert answer.status_code == 200, answer.text
    fits(answer.get_json(), Leases)
    found: list[dict[str, Any]] = answer.get_json()["leases"]
    return found


def test_an_agent_registers_and_registers_again(api: Api) -> None:
    made = api("POST", "/v1/agents", json=ANN)
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/agents/ann")
    fits(made.get_json(), AgentSummary)
    again = api("POST", "/v1/agents", json=ANN | {"maxConcurrent": 3})
    assert (again.status_code, again.get_json()["max_concurrent"]) == (200, 3)
    shown = api("GET", "/v1/agents/ann").get_json()
    fits(shown, Agent)
    assert (shown["capabilities"], shown["alive"], shown["leases"]) == (["code_analysis", "code_generation"], True, [])


def test_agents_are_listed_by_id_and_by_capability(api: Api) -> None:
    for name in ("cleo", "ann", "bob"):
        api("POST", "/v1/agents", json={"id": name, "capabilities": ["a", name]})
    page = api("GET", "/v1/agents?limit=2").get_json()
    rest = api("GET", f"/v1/agents?cursor={page['next_cursor']}").get_json()
    assert [item["id"] for item in page["items"] + rest["items"]] == ["ann", "bob", "cleo"]
    assert [item["id"] for item in api("GET", "/v1/agents?capability=bob").get_json()["items"]] == ["bob"]
    fits(page["items"][0], AgentSummary)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"id": "x\0"}, "id"),
        ({"capabilities": []}, "capabilities"),
        ({"capabilities": ["a:b"]}, "capabilities"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_agent_is_refused_with_the_field(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api("POST", "/v1/agents", json=ANN | change)
    assert answer.status_code == 422
    assert field in {answer.get_json()["errors"][0]["loc"][1], _camel(field)}
    assert api("GET", "/v1/agents").get_json()["items"] == []


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def test_a_task_is_leased_extended_and_completed(api: Api) -> None:
    api("POST", "/v1/agents", json=ANN)
    task = api.create(**WORK)
    [held] = lease(api, wait=1, max=5)
    fits(held, Lease)
    assert (held["task_id"], held["config"]["payload"]) == (task["id"], [1, 2])
    beat = api("POST", "/v1/agents/ann/heartbeat").get_json()
    assert [item["id"] for item in beat["leases"]] == [held["id"]]
    fits(beat["leases"][0], OpenLease)
    extended = api("POST", f"/v1/leases/{held['id']}/extend", json={"progress": {"fraction": 0.5}}).get_json()
    fits(extended, Extended)
    ended = api("POST", f"/v1/leases/{held['id']}/complete", json={"result": {"ok": True}}).get_json()
    fits(ended, LeaseEnd)
    assert ended["task_status"] == "completed"
    assert api.task(task["id"])["result"] == {"ok": True}
    listed = api("GET", f"/v1/tasks/{task['id']}/executions").get_json()["items"]
    assert [(item["id"], item["worker"]) for item in listed] == [(held["id"], "agent:ann")]


def test_a_failure_keeps_the_agents_own_words(api: Api) -> None:
    api("POST", "/v1/agents", json=ANN)
    task = api.create(**WORK, max_retries=0)
    [held] = lease(api)
    body = {"code": "no_compiler", "message": "there is no compiler", "details": {"wanted": "gcc"}}
    ended = api("POST", f"/v1/leases/{held['id']}/fail", json=body).get_json()
    assert (ended["status"], ended["error"]) == ("failed", body)
    assert api.task(task["id"])["last_error"] == body
    assert api("GET", "/v1/dead-letters?code=no_compiler").get_json()["items"][0]["queue"] == "agent:code_analysis"


def test_a_lease_that_was_lost_is_refused_with_how_it_ended(api: Api, bench: Bench) -> None:
    api("POST", "/v1/agents", json=ANN)
    api.create(**WORK)
    [held] = lease(api)
    fall_silent(bench)
    recover.give_up_lost(bench.engine)
    for verb, body in (("complete", {"result": 1}), ("fail", {"message": "no"}), ("extend", {})):
        answer = api("POST", f"/v1/leases/{held['id']}/{verb}", json=body)
        problem = answer.get_json()
        assert (answer.status_code, problem["code"], problem["execution_status"]) == (409, "lease_over", "lost")


def test_the_same_completion_sent_twice_with_a_key_is_answered_twice(api: Api) -> None:
    api("POST", "/v1/agents", json=ANN)
    api.create(**WORK)
    [held] = lease(api)
    key = {"Idempotency-Key": "once"}
    first, second = (
        api("POST", f"/v1/leases/{held['id']}/complete", json={"result": 1}, headers=key) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (200, 200)
    assert (second.get_json(), second.headers["Idempotent-Replayed"]) == (first.get_json(), "true")


def test_a_lease_call_with_a_key_gives_the_same_leases_again(api: Api, bench: Bench) -> None:
    api("POST", "/v1/agents", json=ANN | {"max_concurrent": 5})
    api.create(type="custom", config={"capability": "code_analysis", "payload": "{{ secrets.TOKEN }}"})
    api("PUT", "/v1/secrets/TOKEN", json={"value": "s3cr3t-value"})
    api.create(**WORK)
    key = {"Idempotency-Key": "first-look"}
    answers = [api("POST", "/v1/agents/ann/lease", json={"wait": 1}, headers=key).get_json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(answers[0]["leases"]) == 1
    stored = bench.sql("SELECT body FROM idempotency_keys")
    assert b"s3cr3t-value" not in bytes(stored[0].body)


def test_another_organization_sees_no_agent_and_no_lease(api: Api, other: Api) -> None:
    api("POST", "/v1/agents", json=ANN)
    api.create(**WORK)
    [held] = lease(api)
    assert other("GET", "/v1/agents").get_json()["items"] == []
    for method, path in (
        ("GET", "/v1/agents/ann"),
        ("DELETE", "/v1/agents/ann"),
        ("POST", "/v1/agents/ann/heartbeat"),
        ("POST", "/v1/agents/ann/lease"),
        ("POST", f"/v1/leases/{held['id']}/extend"),
        ("POST", f"/v1/leases/{held['id']}/complete"),
    ):
        assert other(method, path, json={}).status_code == 404, path
    assert other("POST", f"/v1/leases/{held['id']}/fail", json={"message": "no"}).status_code == 404


def test_a_key_that_only_reads_leases_nothing(api: Api, engine: Engine, bench: Bench) -> None:
    reader = Api(api._client, keys.create(engine, bench.caller, "reader", ["read"])["key"])
    assert reader("POST", "/v1/agents", json=ANN).status_code == 403
    api("POST", "/v1/agents", json=ANN)
    assert reader("GET", "/v1/agents/ann").status_code == 200
    assert reader("POST", "/v1/agents/ann/lease", json={}).status_code == 403


def test_an_agent_is_deleted(api: Api) -> None:
    api("POST", "/v1/agents", json=ANN)
    assert api("DELETE", "/v1/agents/ann").status_code == 204
    assert api("DELETE", "/v1/agents/ann").status_code == 404
    assert api("POST", "/v1/agents/ann/lease", json={}).status_code == 404


def test_queues_and_explain_know_of_agents_lines(api: Api) -> None:
    task = api.create(**WORK)
    assert api("GET", "/v1/queues").status_code == 200
    said = api("GET", f"/v1/tasks/{task['id']}/explain").get_json()
    assert said["blockers"][0]["kind"] == "agent"
    assert said["blockers"][0]["agents"] == {"registered": 0, "alive": 0, "free": 0}
    found = api("GET", "/v1/tasks?queue=agent:code_analysis").get_json()["items"]
    assert [item["id"] for item in found] == [task["id"]]


@pytest.mark.parametrize(
    "body", [{"wait": 61}, {"wait": -1}, {"max": 0}, {"max": 101}, {"lease_seconds": 0}, {"wait": "x"}]
)
def test_a_wrong_lease_call_is_refused(api: Api, body: dict[str, Any]) -> None:
    api("POST", "/v1/agents", json=ANN)
    assert api("POST", "/v1/agents/ann/lease", json=body).status_code == 422


def test_a_result_that_cannot_be_stored_is_refused_and_the_lease_goes_on(api: Api) -> None:
    api("POST", "/v1/agents", json=ANN)
    api.create(**WORK)
    [held] = lease(api)
    answer = api("POST", f"/v1/leases/{held['id']}/complete", json={"result": "a\0b"})
    assert answer.status_code == 422
    assert api("POST", f"/v1/leases/{held['id']}/complete", json={"result": "ab"}).status_code == 200
