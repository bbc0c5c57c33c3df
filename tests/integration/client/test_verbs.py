"""Each verb asks for what the HTTP contract says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from taskengine.client import Client, Invalid, RunTimeout, WaitTimeout
from tests.integration.client.scripted import Answer, Asked, ScriptedApi, problem

TASK = {"id": "1", "status": "queued", "type": "echo"}
DONE = {**TASK, "status": "completed", "result": {"message": "hi"}, "from_a_newer_server": 1}
RUN = {"id": "1", "status": "completed", "results": {"a": 1}}

Call = tuple[Callable[[Client], Any], str, str, Any]

POSTS: list[Call] = [
    (lambda c: c.tasks.execute("1"), "POST", "/v1/tasks/1/execute", None),
    (lambda c: c.tasks.cancel("1"), "POST", "/v1/tasks/1/cancel", None),
    (lambda c: c.tasks.cancel("1", "no use"), "POST", "/v1/tasks/1/cancel", {"reason": "no use"}),
    (lambda c: c.tasks.retry("1"), "POST", "/v1/tasks/1/retry", None),
    (lambda c: c.tasks.pause("1"), "POST", "/v1/tasks/1/pause", None),
    (lambda c: c.tasks.resume("1"), "POST", "/v1/tasks/1/resume", None),
    (lambda c: c.tasks.approve("1", "fine"), "POST", "/v1/tasks/1/approve", {"notes": "fine"}),
    (lambda c: c.tasks.reject("1", "bad"), "POST", "/v1/tasks/1/reject", {"reason": "bad"}),
    (lambda c: c.tasks.update("1", {"priority": "high"}), "PATCH", "/v1/tasks/1", {"priority": "high"}),
    (lambda c: c.tasks.explain("1"), "GET", "/v1/tasks/1/explain", None),
    (lambda c: c.members.put("ann", {"role": "owner"}), "PUT", "/v1/members/ann", {"role": "owner"}),
    (lambda c: c.members.get("ann"), "GET", "/v1/members/ann", None),
    (lambda c: c.groups.put("ops", ["ann"]), "PUT", "/v1/groups/ops", {"members": ["ann"]}),
    (lambda c: c.deliveries.get("1"), "GET", "/v1/deliveries/1", None),
    (lambda c: c.deliveries.redrive("1"), "POST", "/v1/deliveries/1/redrive", None),
    (lambda c: c.runs.get("1"), "GET", "/v1/runs/1", None),
    (lambda c: c.runs.graph("1"), "GET", "/v1/runs/1/graph", None),
    (lambda c: c.runs.pause("1"), "POST", "/v1/runs/1/pause", None),
    (lambda c: c.runs.resume("1"), "POST", "/v1/runs/1/resume", None),
    (lambda c: c.runs.cancel("1", "no use"), "POST", "/v1/runs/1/cancel", {"reason": "no use"}),
    (lambda c: c.runs.retry("1"), "POST", "/v1/runs/1/retry", {}),
    (
        lambda c: c.runs.retry("1", start="b", overrides={"b": {"message": 2}}, outputs={"a": None}),
        "POST",
        "/v1/runs/1/retry",
        {"from": "b", "overrides": {"b": {"message": 2}}, "outputs": {"a": None}},
    ),
    (lambda c: c.runs.signal("1", "go"), "POST", "/v1/runs/1/signal", {"signal": "go"}),
    (
        lambda c: c.runs.signal("1", data={"x": 1}, context={"y": 2}),
        "POST",
        "/v1/runs/1/signal",
        {"data": {"x": 1}, "context": {"y": 2}},
    ),
    (
        lambda c: c.run("deploy", {"branch": "x"}),
        "POST",
        "/v1/runs",
        {"workflow": "deploy", "variables": {"branch": "x"}},
    ),
    (
        lambda c: c.run({"name": "w", "steps": []}, context={"k": 1}),
        "POST",
        "/v1/runs",
        {"definition": {"name": "w", "steps": []}, "context": {"k": 1}},
    ),
    (lambda c: c.workflows.put("a", {"name": "a"}), "PUT", "/v1/workflows/a", {"name": "a"}),
    (lambda c: c.workflows.get("a"), "GET", "/v1/workflows/a", None),
    (lambda c: c.workflows.validate({"name": "a"}), "POST", "/v1/workflows/validate", {"name": "a"}),
    (lambda c: c.workflows.plan({"workflow": "a"}), "POST", "/v1/workflows/plan", {"workflow": "a"}),
    (lambda c: c.workflows.schema(), "GET", "/v1/workflows/schema", None),
    (lambda c: c.executions.get("1"), "GET", "/v1/executions/1", None),
    (lambda c: c.queues.pause("integration"), "POST", "/v1/queues/integration/pause", None),
    (lambda c: c.queues.resume("integration"), "POST", "/v1/queues/integration/resume", None),
    (lambda c: c.queues.drain("integration"), "POST", "/v1/queues/integration/drain", None),
    (lambda c: c.secrets.set("a b", "v"), "PUT", "/v1/secrets/a%20b", {"value": "v"}),
    (
        lambda c: c.api_keys.create("ci", ["read"], expires_at=datetime(2030, 1, 1, tzinfo=UTC)),
        "POST",
        "/v1/api-keys",
        {"name": "ci", "scopes": ["read"], "expires_at": "2030-01-01T00:00:00+00:00"},
    ),
    (
        lambda c: c.agents.register("ann", {"b", "a"}, type="codegen"),
        "POST",
        "/v1/agents",
        {"id": "ann", "type": "codegen", "capabilities": ["a", "b"], "max_concurrent": 1},
    ),
    (lambda c: c.agents.get("ann"), "GET", "/v1/agents/ann", None),
    (lambda c: c.agents.heartbeat("ann"), "POST", "/v1/agents/ann/heartbeat", None),
    (
        lambda c: c.leases.extend("1", lease_seconds=9, fraction=0.5, message="half"),
        "POST",
        "/v1/leases/1/extend",
        {"lease_seconds": 9, "progress": {"fraction": 0.5, "message": "half"}},
    ),
    (
        lambda c: c.leases.complete("1", {"words": 2}, logs=["counted"]),
        "POST",
        "/v1/leases/1/complete",
        {"result": {"words": 2}, "logs": [{"message": "counted"}]},
    ),
    (
        lambda c: c.leases.fail("1", "no words", retry=False),
        "POST",
        "/v1/leases/1/fail",
        {"code": "agent_failed", "message": "no words", "details": {}, "retry": False, "logs": []},
    ),
]


@pytest.mark.parametrize(("call", "method", "path", "body"), POSTS)
def test_a_verb_sends_its_request(
    api: ScriptedApi, client: Client, call: Callable[[Client], Any], method: str, path: str, body: Any
) -> None:
    api.on(method, path, Answer(200, DONE))
    assert call(client) == DONE
    assert api.last(method, path).body == body


LISTS: list[tuple[Callable[[Client], Any], str]] = [
    (lambda c: c.tasks.executions("1"), "/v1/tasks/1/executions"),
    (lambda c: c.tasks.events("1"), "/v1/tasks/1/events"),
    (lambda c: c.tasks.artifacts("1"), "/v1/tasks/1/artifacts"),
    (lambda c: c.runs.list(), "/v1/runs"),
    (lambda c: c.runs.tasks("1"), "/v1/runs/1/tasks"),
    (lambda c: c.runs.timeline("1"), "/v1/runs/1/timeline"),
    (lambda c: c.runs.events("1"), "/v1/runs/1/events"),
    (lambda c: c.workflows.list(), "/v1/workflows"),
    (lambda c: c.workflows.versions("a"), "/v1/workflows/a/versions"),
    (lambda c: c.executions.logs("1"), "/v1/executions/1/logs"),
    (lambda c: c.executions.steps("1"), "/v1/executions/1/steps"),
    (lambda c: c.queues.list(), "/v1/queues"),
    (lambda c: c.dead_letters.list(), "/v1/dead-letters"),
    (lambda c: c.secrets.list(), "/v1/secrets"),
    (lambda c: c.api_keys.list(), "/v1/api-keys"),
    (lambda c: c.task_types(), "/v1/task-types"),
    (lambda c: c.agents.list(capability="a"), "/v1/agents"),
]


@pytest.mark.parametrize(("call", "path"), LISTS)
def test_a_list_is_read_to_its_last_page(
    api: ScriptedApi, client: Client, call: Callable[[Client], Any], path: str
) -> None:
    api.on(
        "GET",
        path,
        Answer(200, {"items": [{"n": 1}, {"n": 2}], "next_cursor": "c1"}),
        Answer(200, {"items": [{"n": 3}], "next_cursor": None}),
    )
    assert [item["n"] for item in call(client)] == [1, 2, 3]
    assert [asked.query.get("cursor") for asked in api.asked] == [None, "c1"]


def test_pages_are_fetched_as_they_are_consumed(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks", Answer(200, {"items": [TASK, TASK], "next_cursor": "more"}))
    tasks = client.tasks.list()
    assert api.asked == []
    next(tasks), next(tasks)
    assert len(api.asked) == 1


def test_a_limit_ends_the_list_and_bounds_the_page(api: ScriptedApi, client: Client) -> None:
    def page(asked: Asked) -> Answer:
        return Answer(200, {"items": [TASK] * int(asked.query["limit"]), "next_cursor": "more"})

    api.on("GET", "/v1/tasks", page)
    assert len(list(client.tasks.list(limit=510))) == 510
    assert [asked.query["limit"] for asked in api.asked] == ["500", "10"]


def test_filters_are_sent_and_unset_ones_are_not(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks", Answer(200, {"items": [], "next_cursor": None}))
    since = datetime(2030, 1, 1, tzinfo=UTC)
    assert list(client.tasks.list(status="failed", tag="a&b", created_after=since, limit=5)) == []
    assert api.asked[0].query == {
        "status": "failed",
        "tag": "a&b",
        "created_after": "2030-01-01T00:00:00+00:00",
        "limit": "5",
    }


def test_a_batch_returns_its_ids_in_order(api: ScriptedApi, client: Client) -> None:
    api.on("POST", "/v1/tasks/batch", Answer(201, {"ids": ["1", "2"]}))
    assert client.tasks.create_batch([{"type": "echo", "key": "a"}, {"type": "echo", "depends_on": ["a"]}]) == [
        "1",
        "2",
    ]
    assert api.asked[0].body["tasks"][1] == {"type": "echo", "depends_on": ["a"]}


def test_options_of_a_submitted_task_are_sent_with_times_in_rfc_3339(api: ScriptedApi, client: Client) -> None:
    api.on("POST", "/v1/tasks", Answer(201, TASK))
    when = datetime(2030, 1, 1, tzinfo=UTC)
    client.submit("echo", name="greet", options={"priority": "high", "scheduled_for": when})
    assert api.asked[0].body == {
        "type": "echo",
        "name": "greet",
        "config": {},
        "priority": "high",
        "scheduled_for": "2030-01-01T00:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("value", "reason"), [(datetime(2030, 1, 1), "time zone"), (object(), "is no JSON"), (float("nan"), "JSON")]
)
def test_what_json_cannot_say_is_refused_before_it_is_sent(
    api: ScriptedApi, client: Client, value: Any, reason: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=reason):
        client.submit("echo", {"message": value})
    assert api.asked == []


def test_redriving_sends_the_filter_only(api: ScriptedApi, client: Client) -> None:
    api.on("POST", "/v1/dead-letters/redrive", Answer(200, {"redriven": 7}))
    assert client.dead_letters.redrive(queue="integration", limit=10) == 7
    assert api.asked[0].body == {"queue": "integration", "limit": 10}
    client.dead_letters.redrive(["1"])
    assert api.asked[1].body == {"ids": ["1"], "limit": 10_000}


def test_deletions_take_an_empty_answer(api: ScriptedApi, client: Client) -> None:
    for path in ("/v1/tasks/1", "/v1/secrets/token", "/v1/api-keys/1"):
        api.on("DELETE", path, Answer(204))
    client.tasks.delete("1")
    client.secrets.delete("token")
    client.api_keys.revoke("1")
    assert [asked.method for asked in api.asked] == ["DELETE"] * 3


def test_waiting_asks_again_until_the_task_is_final(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", Answer(200, TASK), Answer(200, DONE))
    assert client.wait("1") == DONE
    assert [asked.query["wait"] for asked in api.asked] == ["30", "30"]


def test_waiting_ends_with_the_task_as_it_stands_when_the_time_is_up(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", Answer(200, TASK))
    with pytest.raises(WaitTimeout, match=r"task 1 is still queued after 0\.25 s") as caught:
        client.wait("1", timeout=0.25)
    assert dict(caught.value.task) == TASK
    assert len(api.asked) <= 4, "a server that does not hold the request back is not stormed"


def test_waiting_for_a_run_asks_again_until_it_has_ended(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/runs/1", Answer(200, RUN | {"status": "waiting"}), Answer(200, RUN))
    assert dict(client.wait_run("1")) == RUN
    assert [asked.query["wait"] for asked in api.asked] == ["30", "30"]


def test_waiting_for_a_run_ends_with_it_as_it_stands_when_the_time_is_up(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/runs/1", Answer(200, RUN | {"status": "waiting"}))
    with pytest.raises(RunTimeout, match=r"run 1 is still waiting after 0\.25 s") as caught:
        client.wait_run("1", timeout=0.25)
    assert caught.value.run["status"] == "waiting"


def test_a_definition_as_text_goes_out_as_yaml_and_its_faults_name_their_lines(
    api: ScriptedApi, client: Client
) -> None:
    text = "name: a\nsteps: []  # none yet\n"
    fault = {"loc": ["body", "steps"], "msg": "is empty", "type": "too_short", "line": 2, "column": 1}
    api.on("PUT", "/v1/workflows/a", problem(422, "invalid_definition", "no", errors=[fault]))
    with pytest.raises(Invalid) as caught:
        client.workflows.put("a", text)
    assert [str(error) for error in caught.value.errors] == ["line 2: steps: is empty"]
    assert (api.asked[0].body, api.asked[0].headers["content-type"]) == (text, "application/yaml")


def test_text_answers_come_as_they_are(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/runs/1/graph", Answer(200, b"flowchart TD\n", {"Content-Type": "text/plain"}))
    api.on("GET", "/v1/workflows/a", Answer(200, "näme: a".encode(), {"Content-Type": "application/yaml"}))
    assert client.runs.mermaid("1") == "flowchart TD\n"
    assert client.workflows.source("a", version=2) == "näme: a"
    assert [dict(asked.query) for asked in api.asked] == [{"format": "mermaid"}, {"version": "2", "format": "yaml"}]


def test_filters_of_runs_and_of_their_tasks_are_sent(api: ScriptedApi, client: Client) -> None:
    for path in ("/v1/runs", "/v1/runs/1/tasks"):
        api.on("GET", path, Answer(200, {"items": [], "next_cursor": None}))
    since = datetime(2030, 1, 1, tzinfo=UTC)
    assert list(client.runs.list(status="paused", workflow="w", created_after=since, limit=5)) == []
    assert list(client.runs.tasks("1", type="echo", kind="wait", parent_id="2", limit=5)) == []
    assert [dict(asked.query) for asked in api.asked] == [
        {"status": "paused", "workflow": "w", "created_after": "2030-01-01T00:00:00+00:00", "limit": "5"},
        {"type": "echo", "kind": "wait", "parent_id": "2", "limit": "5"},
    ]


def test_not_ready_is_an_answer_not_an_error(api: ScriptedApi, client: Client) -> None:
    state = {"status": "unavailable", "checks": {"postgres": {"ok": False, "detail": "refused"}}}
    api.on("GET", "/readyz", Answer(503, state))
    api.on("GET", "/healthz", Answer(200, {"status": "ok"}))
    assert client.ready() == state
    assert client.healthy()
    assert client.server_clock() is not None
    assert len(api.asked) == 3


def test_leases_come_as_a_list_and_the_server_may_take_its_time(api: ScriptedApi, client: Client) -> None:
    api.on("POST", "/v1/agents/ann/lease", Answer(200, {"leases": [{"id": "1"}], "retry_after_seconds": 0}))
    [lease] = client.agents.lease("ann", wait=0.5, max=2, lease_seconds=60)
    assert lease["id"] == "1"
    assert api.asked[0].body == {"wait": 0.5, "max": 2, "lease_seconds": 60}


def test_an_agent_is_deleted(api: ScriptedApi, client: Client) -> None:
    api.on("DELETE", "/v1/agents/ann", Answer(204))
    client.agents.delete("ann")
    assert len(api.asked) == 1
