"""The workflow routes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import yaml

from api.schemas.workflows import RESERVED, DefinitionFault, Plan, Workflow, WorkflowSummary
from tests.integration.api.conftest import Api, fits

DEFINITION: dict[str, Any] = {
    "name": "hello",
    "description": "Says hello.",
    "steps": [
        {"id": "greet", "type": "task", "task": {"type": "echo", "config": {"message": "hello"}}},
        {"id": "part", "type": "task", "task": {"type": "echo", "config": {"message": "bye"}}},
    ],
}
TEXT = "# kept as it was sent\n" + yaml.safe_dump(DEFINITION, sort_keys=False)
SPELLINGS = ["application/yaml", "application/x-yaml", "text/yaml; charset=utf-8"]


def put(api: Api, text: str = TEXT, name: str = "hello", media: str = "application/yaml") -> Any:
    return api("PUT", f"/v1/workflows/{name}", data=text, headers={"Content-Type": media})


def send(api: Api, verb: str, text: str) -> Any:
    return api("POST", f"/v1/workflows/{verb}", data=text, headers={"Content-Type": "application/yaml"})


def test_a_workflow_is_registered_and_changed_in_versions(api: Api) -> None:
    first = put(api)
    again = put(api)
    changed = put(api, TEXT.replace("bye", "see you"))

    assert [answer.status_code for answer in (first, again, changed)] == [201, 200, 201]
    assert [answer.get_json()["version"] for answer in (first, again, changed)] == [1, 1, 2]
    assert first.headers["Location"] == "/v1/workflows/hello?version=1"
    assert first.get_json()["definition"]["steps"][1]["id"] == "part"
    assert api("GET", first.headers["Location"]).get_json() == first.get_json()
    fits(first.get_json(), Workflow)
    fits(api("GET", "/v1/workflows").get_json()["items"][0], WorkflowSummary)
    fits(api("GET", "/v1/workflows/hello/versions").get_json()["items"][0], WorkflowSummary)


@pytest.mark.parametrize("media", SPELLINGS)
def test_yaml_has_several_spellings(api: Api, media: str) -> None:
    assert put(api, media=media).status_code == 201


def test_a_definition_in_json_is_as_good(api: Api) -> None:
    response = put(api, json.dumps(DEFINITION), media="application/json")

    assert response.status_code == 201
    assert put(api).status_code == 200, "the same definition in YAML is no new version"


def test_another_media_type_is_refused(api: Api) -> None:
    response = put(api, media="text/plain")

    assert response.status_code == 415
    assert "application/yaml" in response.get_json()["detail"]


def test_a_definition_is_shown_as_it_was_sent(api: Api) -> None:
    put(api)

    shown = api("GET", "/v1/workflows/hello?format=yaml")

    assert shown.headers["Content-Type"] == "application/yaml"
    assert shown.text == TEXT


def test_versions_are_read_by_number(api: Api) -> None:
    put(api)
    put(api, TEXT.replace("bye", "see you"))

    versions = api("GET", "/v1/workflows/hello/versions").get_json()["items"]
    old = api("GET", "/v1/workflows/hello?version=1").get_json()

    assert [item["version"] for item in versions] == [2, 1]
    assert old["definition"]["steps"][1]["task"]["config"] == {"message": "bye"}
    assert api("GET", "/v1/workflows/hello").get_json()["version"] == 2
    assert api("GET", "/v1/workflows/hello?version=3").status_code == 404
    assert api("GET", "/v1/workflows/nothing").status_code == 404
    assert api("GET", "/v1/workflows/nothing/versions").status_code == 404


def test_workflows_are_listed_by_name_in_pages(api: Api) -> None:
    for name in ("c", "a", "b"):
        put(api, TEXT.replace("name: hello", f"name: {name}"), name)

    first = api("GET", "/v1/workflows?limit=2").get_json()
    rest = api("GET", f"/v1/workflows?limit=2&cursor={first['next_cursor']}").get_json()

    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
    assert "definition" not in first["items"][0]


@pytest.mark.parametrize("name", RESERVED)
def test_a_word_that_has_a_path_of_its_own_is_no_workflow(api: Api, name: str) -> None:
    response = put(api, name=name)

    assert response.status_code == 405
    assert "PUT" not in response.headers["Allow"]
    assert put(api, TEXT.replace("name: hello", f"name: {name}2"), f"{name}2").status_code == 201


@pytest.mark.parametrize("name", ["a b", "-a", "a%0A"])
def test_a_name_that_no_workflow_can_have_is_refused(api: Api, name: str) -> None:
    response = put(api, name=name)

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["loc"] == ["path", "name"]


def test_the_name_in_the_definition_is_the_one_of_the_path(api: Api) -> None:
    response = put(api, name="other")

    assert response.status_code == 422
    [fault] = response.get_json()["errors"]
    assert (fault["loc"], fault["line"]) == (["body", "name"], 2)


def test_a_wrong_definition_is_refused_with_the_line_of_each_fault(api: Api) -> None:
    text = "name: hello\nsteps:\n  - id: a\n    type: task\n    task: {type: nonsense}\n  - id: a\n    type: nap\n"

    response = put(api, text)

    problem = response.get_json()
    faults = {fault["line"]: fault for fault in problem["errors"]}
    assert (response.status_code, problem["code"]) == (422, "invalid_definition")
    assert faults[5]["loc"] == ["body", "steps", 0, "task", "type"]
    assert 6 in faults or 7 in faults
    assert all(fault["column"] >= 1 for fault in problem["errors"])
    assert api("GET", "/v1/workflows").get_json()["items"] == []


@pytest.mark.parametrize("text", ["", "[", "- 1", "name: [", "a: &a [*a]"])
def test_text_that_is_no_definition_is_refused_and_not_a_fault_of_the_server(api: Api, text: str) -> None:
    assert put(api, text).status_code in (400, 422)
    assert send(api, "validate", text).get_json().get("valid") in (False, None)
    assert send(api, "plan", text).status_code in (400, 422)


def test_validation_finds_faults_without_storing(api: Api) -> None:
    good = send(api, "validate", TEXT)
    bad = send(api, "validate", TEXT.replace("type: echo", "type: nonsense", 1))

    assert good.get_json() == {"valid": True, "errors": []}
    assert (bad.status_code, bad.get_json()["valid"]) == (200, False)
    [fault] = bad.get_json()["errors"]
    fits(fault, DefinitionFault)
    assert fault["path"] == "steps[0].task.type"
    assert TEXT.splitlines()[fault["line"] - 1].strip() == "type: echo"
    assert fault["column"] >= 1 and fault["code"] and "nonsense" in fault["message"]
    assert api("GET", "/v1/workflows").get_json()["items"] == []


def test_a_plan_tells_order_layers_and_the_longest_way(api: Api) -> None:
    steps = [*DEFINITION["steps"], DEFINITION["steps"][0] | {"id": "aside", "depends_on": []}]

    plan = api("POST", "/v1/workflows/plan", json={"definition": DEFINITION | {"steps": steps}}).get_json()

    fits(plan, Plan)
    assert set(plan["order"]) == {"greet", "part", "aside"}
    assert plan["order"].index("greet") < plan["order"].index("part")
    assert [sorted(layer) for layer in plan["layers"]] == [["aside", "greet"], ["part"]]
    assert plan["critical_path"] == ["greet", "part"]
    assert plan["steps"] == 3
    assert plan["expected_seconds"] is None, "nothing of this type has run yet"
    assert api("GET", "/v1/runs").get_json()["items"] == []


def test_a_registered_workflow_and_task_groups_can_be_planned_too(api: Api) -> None:
    put(api)
    echo = {"name": "n", "type": "echo"}
    groups = [
        {"id": "one", "tasks": [echo | {"key": "a"}]},
        {"id": "two", "tasks": [echo | {"key": "b", "depends_on": ["one.a"]}]},
    ]

    registered = api("POST", "/v1/workflows/plan", json={"workflow": "hello"}).get_json()
    grouped = api("POST", "/v1/workflows/plan", json={"task_groups": groups}).get_json()

    assert registered["layers"] == [["greet"], ["part"]]
    assert grouped["steps"] >= 2
    refused = api("POST", "/v1/workflows/plan", json={"workflow": "nothing"})
    assert (refused.status_code, refused.get_json()["code"]) == (422, "unknown_workflow")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ([1, 2, 3], 20),
        ([], 10),
        ("variables.users", 25),
        ("users", 25),
        ("{{ variables.users[1:] }}", 25),
        ("context.none", 15),
        ("{{ tasks.first.result }}", 15),
        ("context.text", 15),
    ],
)
def test_a_plan_counts_a_loop_as_often_as_it_is_known_to_go_round(api: Api, source: Any, expected: float) -> None:
    rest = {"type": "wait", "seconds": 10}
    loop = {
        "id": "l",
        "type": "loop",
        "for_each": source,
        "max_parallel": 2,
        "steps": [{"id": "a", "type": "wait", "seconds": 5}, {"id": "asked", "type": "wait", "signal": "go"}],
    }
    body = {
        "definition": {"name": "w", "variables": {"users": []}, "steps": [{"id": "first", **rest}, loop]},
        "variables": {"users": [1, 2, 3, 4, 5, 6]},
        "context": {"text": "abc"},
    }
    plan = api("POST", "/v1/workflows/plan", json=body).get_json()
    assert plan["expected_seconds"] == expected
    assert plan["critical_path"] == ["first", "l.a", "l.asked"]


def test_editors_get_the_schema_without_a_key(api: Api, nobody: Api) -> None:
    response = nobody("GET", "/v1/workflows/schema")

    schema = response.get_json(force=True)
    assert response.headers["Content-Type"] == "application/schema+json"
    assert "$schema" in schema
    validator = jsonschema_rs.validator_for(schema)
    validator.validate(DEFINITION)
    assert not validator.is_valid(DEFINITION | {"steps": []})


def test_everything_else_needs_a_key(nobody: Api) -> None:
    asked = [
        ("GET", "/v1/workflows"),
        ("GET", "/v1/workflows/hello"),
        ("PUT", "/v1/workflows/hello"),
        ("POST", "/v1/workflows/validate"),
        ("POST", "/v1/workflows/plan"),
    ]

    assert [nobody(method, path, json=DEFINITION).status_code for method, path in asked] == [401] * len(asked)
