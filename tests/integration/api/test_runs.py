"""The run routes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml

from api.schemas.runs import Edge, Graph, Node, Run, RunEvent, RunGroup, RunSummary, Span, SpanAttempt
from api.schemas.tasks import Task
from tests.conftest import Bench
from tests.integration.api.conftest import Api, fits
from tests.integration.api.test_workflows import DEFINITION


def task(step: str, *, fails: int = 0, **fields: Any) -> dict[str, Any]:
    config = {"message": step} | ({"fail_times": fails} if fails else {})
    return {"id": step, "type": "task", "task": {"type": "echo", "config": config, "max_retries": 0}, **fields}


def flow(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"definition": {"name": "flow", "steps": list(steps)}}


def start(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    response = api("POST", "/v1/runs", json=body)
    assert response.status_code == 201, response.text
    return response.get_json()  # type: ignore[no-any-return]  # JSON of our own


def shown(api: Api, run: dict[str, Any], part: str = "") -> Any:
    response = api("GET", f"/v1/runs/{run['id']}{part}")
    assert response.status_code == 200, response.text
    return response.get_json()


def act(api: Api, run: dict[str, Any], verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    response = api("POST", f"/v1/runs/{run['id']}/{verb}", json=body or {})
    assert response.status_code == 200, response.text
    return response.get_json()  # type: ignore[no-any-return]  # JSON of our own


def work(api: Api, bench: Bench, run: dict[str, Any]) -> dict[str, Any]:
    """Work off what is queued, until nothing is; the run as it stands then."""
    while queued := shown(api, run, "/tasks?status=queued&kind=task&limit=100")["items"]:
        bench.work(*(UUID(item["id"]) for item in queued))
    return shown(api, run)  # type: ignore[no-any-return]  # JSON of our own


def test_a_run_is_started_worked_off_and_shown(api: Api, bench: Bench) -> None:
    response = api("POST", "/v1/runs", json=flow(task("a"), task("b")) | {"name": "first", "context": {"n": 1}})
    run = response.get_json()

    ended = work(api, bench, run)

    assert response.headers["Location"] == f"/v1/runs/{run['id']}"
    assert (run["name"], run["status"], run["progress"]["total"]) == ("first", "running", 2)
    assert (ended["status"], ended["partial_results"]) == ("completed", None)
    assert ended["results"] == {"a": {"message": "a"}, "b": {"message": "b"}}
    assert ended["context"]["n"] == 1 and ended["context"]["a"] == {"message": "a"}
    assert ended["progress"] == {**ended["progress"], "total": 2, "completed": 2}
    assert ended["completed_at"].endswith("Z")


def test_what_is_shown_of_a_run_is_what_is_documented(api: Api, bench: Bench) -> None:
    run = start(api, {"task_groups": [{"id": "g", "tasks": [{"name": "n", "type": "echo"}]}]})
    work(api, bench, run)

    fits(shown(api, run), Run)
    fits(shown(api, run)["groups"][0], RunGroup)
    fits(api("GET", "/v1/runs").get_json()["items"][0], RunSummary)
    graph = shown(api, run, "/graph")
    fits(graph, Graph)
    fits(graph["nodes"][-1], Node)
    fits(shown(api, run, "/tasks")["items"][0], Task)
    span = shown(api, run, "/timeline")["items"][-1]
    fits(span, Span)
    fits(span["attempts"][0], SpanAttempt)
    for event in shown(api, run, "/events?limit=500")["items"]:
        fits(event, RunEvent)


def test_a_registered_workflow_is_run_in_the_version_asked_for(api: Api) -> None:
    api("PUT", "/v1/workflows/hello", json=DEFINITION)
    api("PUT", "/v1/workflows/hello", json=DEFINITION | {"description": "changed"})

    newest, first = start(api, {"workflow": "hello"}), start(api, {"workflow": "hello", "version": 1})

    assert [(run["workflow"], run["version"]) for run in (newest, first)] == [("hello", 2), ("hello", 1)]
    for body in ({"workflow": "hello", "version": 9}, {"workflow": "nothing"}):
        refused = api("POST", "/v1/runs", json=body).get_json()
        assert (refused["code"], refused["errors"][0]["loc"]) == ("unknown_workflow", ["body", "workflow"])


def test_task_groups_are_a_run_too(api: Api, bench: Bench) -> None:
    echo = {"name": "n", "type": "echo", "config": {"message": "hi"}}
    groups = [
        {"id": "one", "name": "first group", "tasks": [echo | {"key": "a"}]},
        {"id": "two", "depends_on": ["one"], "tasks": [echo | {"key": "b"}]},
    ]

    run = start(api, {"task_groups": groups, "context": {"k": 1}})
    ended = work(api, bench, run)

    assert [(group["id"], group["name"]) for group in run["groups"]] == [("one", "first group"), ("two", "two")]
    assert ended["status"] == "completed"
    assert [group["status"] for group in ended["groups"]] == ["completed", "completed"]


def test_a_run_may_be_sent_in_yaml_and_its_definition_as_text(api: Api) -> None:
    definition = yaml.safe_dump(flow(task("a"))["definition"])
    body = yaml.safe_dump({"name": "in yaml", "definition": definition})

    response = api("POST", "/v1/runs", data=body, headers={"Content-Type": "application/yaml"})

    assert response.status_code == 201, response.text
    assert response.get_json()["name"] == "in yaml"
    assert start(api, {"definition": definition})["name"] == "flow"


@pytest.mark.parametrize("way", ["yaml", "text"])
def test_a_fault_names_its_line(api: Api, way: str) -> None:
    text = "name: w\nsteps:\n  - id: a\n    type: task\n    task:\n      type: nonsense\n"
    if way == "text":
        response, line = api("POST", "/v1/runs", json={"definition": text}), 6
    else:
        body = "definition:\n" + "".join(f"  {part}\n" for part in text.splitlines())
        response, line = api("POST", "/v1/runs", data=body, headers={"Content-Type": "application/yaml"}), 7

    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (422, "invalid_definition")
    [fault] = problem["errors"]
    assert fault["loc"] == ["body", "definition", "steps", 0, "task", "type"]
    assert fault["line"] == line


@pytest.mark.parametrize(
    ("body", "code", "loc"),
    [
        ({}, "invalid_input", ["body"]),
        ({"workflow": "a", "definition": {}}, "invalid_input", ["body"]),
        ({"surprise": 1, "workflow": "a"}, "invalid_input", ["body", "surprise"]),
        (flow(task("a", depends_on=["b"]), task("b")), "circular_dependency", ["body", "definition", "steps"]),
        (flow(task("a", depends_on=["a"])), "circular_dependency", ["body", "definition", "steps", 0]),
        ({"task_groups": [{"id": "g", "tasks": []}]}, "invalid_input", ["body", "task_groups", 0, "tasks"]),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_stored(api: Api, body: Any, code: str, loc: list[Any]) -> None:
    response = api("POST", "/v1/runs", json=body)

    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (422, code)
    assert problem["errors"][0]["loc"][: len(loc)] == loc
    assert api("GET", "/v1/runs").get_json()["items"] == []
    assert api("GET", "/v1/tasks").get_json()["items"] == []


def test_an_empty_body_is_refused_and_not_a_fault_of_the_server(api: Api) -> None:
    assert api("POST", "/v1/runs").status_code == 422


def test_the_same_idempotency_key_starts_one_run(api: Api) -> None:
    first, again = (api("POST", "/v1/runs", json=flow(task("a")), headers={"Idempotency-Key": "k"}) for _ in range(2))

    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.get_json()["id"] == again.get_json()["id"]
    assert len(api("GET", "/v1/runs").get_json()["items"]) == 1


def test_a_wait_ends_with_the_run(api: Api, bench: Bench) -> None:
    run = start(api, flow(task("a")))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api, "GET", f"/v1/runs/{run['id']}?wait=30")
        work(api, bench, run)
        assert waiting.result().get_json()["status"] == "completed"


def test_a_wait_that_is_too_short_shows_the_run_as_it_stands(api: Api) -> None:
    response = api("POST", "/v1/runs?wait=0.05", json=flow(task("a")))

    assert (response.status_code, response.get_json()["status"]) == (201, "running")


def test_runs_are_listed_by_filters_newest_first(api: Api, bench: Bench) -> None:
    api("PUT", "/v1/workflows/hello", json=DEFINITION)
    ids = [start(api, body)["id"] for body in (flow(task("a")), {"workflow": "hello"}, flow(task("c")))]
    work(api, bench, {"id": ids[0]})

    def listed(query: str) -> list[str]:
        return [run["id"] for run in api("GET", f"/v1/runs?{query}").get_json()["items"]]

    assert listed("") == ids[::-1]
    assert listed("status=completed") == [ids[0]]
    assert listed("status=running&status=paused") == [ids[2], ids[1]]
    assert listed("status=running,completed") == ids[::-1]
    assert listed("workflow=hello") == [ids[1]]
    assert listed("created_after=2999-01-01T00:00:00Z") == []
    assert listed("created_before=2999-01-01T00:00:00Z&limit=1") == [ids[2]]
    assert api("GET", "/v1/runs?status=queued").status_code == 422
    page = api("GET", "/v1/runs?limit=2").get_json()
    assert {"context", "results", "partial_results"}.isdisjoint(page["items"][0])
    assert [run["id"] for run in api("GET", f"/v1/runs?cursor={page['next_cursor']}").get_json()["items"]] == [ids[0]]


def test_tasks_of_a_run_are_listed_by_kind_and_parent(api: Api, bench: Bench) -> None:
    expansion = task("many")
    expansion["task"] |= {
        "input": {"users": ["x", "y"]},
        "expansion_config": {"type": "array", "array_mapping": {"user": "input.users"}},
    }
    run = start(api, flow({"id": "both", "type": "parallel", "steps": [task("a"), expansion]}))
    work(api, bench, run)

    items = shown(api, run, "/tasks")["items"]
    [parent] = [item for item in items if item["kind"] == "expansion"]
    children = shown(api, run, f"/tasks?parent_id={parent['id']}")["items"]
    controls = shown(api, run, "/tasks?kind=parallel,wait")["items"]

    assert sorted(item["kind"] for item in items) == ["expansion", "task", "task", "task"]
    assert sorted(child["sequence_num"] for child in children) == [0, 1]
    assert [item["key"] for item in controls] == ["both"]
    assert {item["run_id"] for item in items} == {run["id"]}
    everywhere = api("GET", f"/v1/tasks?parent_id={parent['id']}&kind=task").get_json()["items"]
    assert {item["id"] for item in everywhere} == {child["id"] for child in children}
    assert api("GET", f"/v1/runs/{run['id']}/tasks?kind=nonsense").status_code == 422


def test_the_graph_has_nodes_and_edges_and_a_mermaid_form(api: Api) -> None:
    run = start(api, flow(task("a"), task("b"), task("tidy", run_on="always")))

    graph = shown(api, run, "/graph")
    mermaid = api("GET", f"/v1/runs/{run['id']}/graph?format=mermaid")

    by_id = {node["id"]: node["key"] for node in graph["nodes"]}
    assert (graph["run_id"], graph["status"]) == (run["id"], "running")
    assert list(by_id.values()) == ["a", "b", "tidy"]
    assert [(by_id[edge["from"]], by_id[edge["to"]], edge["run_on"]) for edge in graph["edges"]] == [
        ("a", "b", "success"),
        ("b", "tidy", "always"),
    ]
    fits(graph["edges"][0], Edge)
    assert mermaid.headers["Content-Type"].startswith("text/plain")
    assert mermaid.text.startswith(("flowchart", "graph"))


def test_the_timeline_and_the_events_tell_what_happened(api: Api, bench: Bench) -> None:
    run = start(api, flow(task("a"), task("b")))
    work(api, bench, run)

    spans = shown(api, run, "/timeline")["items"]
    events = shown(api, run, "/events?limit=500")["items"]

    assert [span["path"] for span in spans] == ["a", "b"]
    assert [attempt["status"] for attempt in spans[0]["attempts"]] == ["succeeded"]
    assert spans[0]["started_at"] <= spans[0]["ended_at"] <= spans[1]["started_at"]
    kinds = [event["type"] for event in events]
    assert kinds.index("run.started") < kinds.index("task.completed") < kinds.index("run.completed")
    assert {event["run_id"] for event in events} == {run["id"]}
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    page = shown(api, run, "/timeline?limit=1")
    assert shown(api, run, f"/timeline?cursor={page['next_cursor']}")["items"][0]["path"] == "b"


def test_a_run_is_paused_resumed_and_cancelled(api: Api, bench: Bench) -> None:
    run = start(api, flow(task("a"), task("b")))

    assert act(api, run, "pause")["status"] == "paused"
    assert work(api, bench, run)["status"] == "paused"
    assert act(api, run, "resume")["status"] == "running"
    cancelled = act(api, run, "cancel", {"reason": "enough"})
    assert (cancelled["status"], cancelled["cancel_reason"]) == ("cancelled", "enough")
    refused = api("POST", f"/v1/runs/{run['id']}/pause", json={})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "invalid_transition")


def test_a_failed_run_keeps_its_results_and_goes_on_from_there(api: Api, bench: Bench) -> None:
    run = start(api, flow(task("a"), task("b", fails=1), task("c")))
    failed = work(api, bench, run)

    act(api, run, "retry", {"overrides": {"b": {"message": "mended"}}})
    ended = work(api, bench, run)

    assert (failed["status"], failed["partial_results"]) == ("failed", {"a": {"message": "a"}})
    assert ended["status"] == "completed"
    assert ended["results"]["b"] == {"message": "mended"}
    assert ended["results"]["a"] == {"message": "a"}


def test_a_result_may_be_supplied_in_place_of_running(api: Api, bench: Bench) -> None:
    run = start(api, flow(task("a", fails=1), task("b")))
    work(api, bench, run)

    act(api, run, "retry", {"outputs": {"a": {"message": "by hand"}}})

    assert work(api, bench, run)["results"] == {"a": {"message": "by hand"}, "b": {"message": "b"}}


def test_a_signal_wakes_a_wait_and_sets_fields(api: Api, bench: Bench) -> None:
    run = start(api, flow({"id": "hold", "type": "wait", "signal": "go"}, task("a")))

    assert run["status"] == "waiting"
    act(api, run, "signal", {"signal": "go", "data": {"by": "me"}, "context": {"n": 2}})
    ended = work(api, bench, run)

    assert ended["status"] == "completed"
    assert ended["context"]["n"] == 2
    assert ended["results"]["a"] == {"message": "a"}


def test_what_is_not_there_is_404_for_every_verb(api: Api) -> None:
    nowhere = uuid4()
    for part in ("", "?wait=1", "/tasks", "/graph", "/graph?format=mermaid", "/timeline", "/events"):
        assert api("GET", f"/v1/runs/{nowhere}{part}").status_code == 404, part
    for verb in ("pause", "resume", "cancel", "retry"):
        assert api("POST", f"/v1/runs/{nowhere}/{verb}", json={}).status_code == 404, verb
    assert api("POST", f"/v1/runs/{nowhere}/signal", json={"signal": "go"}).status_code == 404


def test_runs_need_their_scope(api: Api, nobody: Api) -> None:
    key = api("POST", "/v1/api-keys", json={"name": "reader", "scopes": ["read"]}).get_json()["key"]
    reader = {"X-API-Key": key}

    assert nobody("GET", "/v1/runs").status_code == 401
    assert nobody("GET", "/v1/runs", headers=reader).status_code == 200
    assert nobody("POST", "/v1/runs", json=flow(task("a")), headers=reader).status_code == 403
