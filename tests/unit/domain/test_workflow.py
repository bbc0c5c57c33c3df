"""The models of workflows, groups, and what clients ask of runs."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from pydantic import ValidationError

from taskengine.domain.workflow import (
    MAX_DEPTH,
    MAX_STEPS,
    ConditionalStep,
    LoopStep,
    RetrySpec,
    RunSpec,
    SignalSpec,
    TaskGroup,
    TaskStep,
    WorkflowSpec,
    lists_of,
    walk,
)

WAIT = {"id": "a", "type": "wait", "seconds": 1}


def wait(step_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "wait", **fields}


def workflow(*steps: dict[str, Any]) -> WorkflowSpec:
    return WorkflowSpec.model_validate({"name": "w", "steps": list(steps)})


def kinds(model: Any, data: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return [item["type"] for item in caught.value.errors()]


def test_steps_may_be_spelt_in_camel_case() -> None:
    spec = workflow(
        {
            "id": "l",
            "type": "loop",
            "forEach": [1],
            "maxIterations": 3,
            "steps": [{"id": "t", "type": "task", "dependsOn": [], "task": {"taskType": "echo"}}],
        }
    )
    [loop] = spec.steps
    assert isinstance(loop, LoopStep) and loop.for_each == [1] and loop.max_iterations == 3
    [task] = loop.steps
    assert isinstance(task, TaskStep) and task.task.type == "echo" and task.depends_on == []


def test_walking_names_every_step_with_its_path() -> None:
    spec = workflow(
        WAIT,
        {
            "id": "c",
            "type": "conditional",
            "condition": {"field": "x", "operator": "exists"},
            "then": [wait("t", seconds=1)],
            "else": [{"id": "p", "type": "parallel", "steps": [wait("e", seconds=1)]}],
        },
    )
    assert [(path, step.id) for path, step in walk(spec.steps)] == [
        (("steps", 0), "a"),
        (("steps", 1), "c"),
        (("steps", 1, "then", 0), "t"),
        (("steps", 1, "else", 0), "p"),
        (("steps", 1, "else", 0, "steps", 0), "e"),
    ]
    conditional = spec.steps[1]
    assert isinstance(conditional, ConditionalStep)
    assert [name for name, _ in lists_of(conditional)] == ["then", "else"]


@pytest.mark.parametrize(
    "field", [{"key": "k"}, {"depends_on": ["a"]}, {"run_on": "always"}, {"onFailure": "continue"}]
)
def test_the_task_of_a_step_takes_no_field_of_the_step(field: dict[str, Any]) -> None:
    data = {"name": "w", "steps": [{"id": "t", "type": "task", "task": {"type": "echo", **field}}]}
    assert kinds(WorkflowSpec, data) == ["misplaced_field"]


def test_a_dumped_task_is_read_again() -> None:
    spec = workflow({"id": "t", "type": "task", "task": {"type": "echo", "name": "shown"}})
    step = spec.steps[0]
    assert isinstance(step, TaskStep)
    assert type(step.task).model_validate(step.task.model_dump()) == step.task


def test_depth_and_number_of_steps_are_bounded() -> None:
    def nested(depth: int) -> dict[str, Any]:
        inner = [wait("end", seconds=1)] if depth == 2 else [nested(depth - 1)]
        return {"id": f"s{depth}", "type": "sequential", "steps": inner}

    assert workflow(nested(MAX_DEPTH))
    assert kinds(WorkflowSpec, {"name": "w", "steps": [nested(MAX_DEPTH + 1)]}) == ["steps_too_deep"]
    many = [wait(f"s{number}", seconds=1) for number in range(MAX_STEPS + 1)]
    assert kinds(WorkflowSpec, {"name": "w", "steps": many}) == ["too_many_steps"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "wait_form"),
        ({"seconds": 1, "until": "2030-01-01T00:00:00Z"}, "wait_form"),
        ({"until": "2030-01-01"}, "value_error"),
        ({"seconds": 1, "timeout_seconds": 2}, "timeout_not_allowed"),
        ({"signal": "go", "on_timeout": "fail"}, "on_timeout_without_timeout"),
        ({"signal": "go now"}, "invalid_id"),
        ({"seconds": float("nan")}, "finite_number"),
        ({"seconds": "1"}, "float_type"),
    ],
)
def test_a_wait_has_exactly_one_form(fields: dict[str, Any], kind: str) -> None:
    assert kinds(WorkflowSpec, {"name": "w", "steps": [wait("a", **fields)]}) == [kind]


def test_the_schema_accepts_what_the_models_accept_and_refuses_unknown_fields() -> None:
    schema = WorkflowSpec.json_schema()
    assert schema["$schema"].endswith("2020-12/schema") and schema["$id"] and schema["title"] == "Workflow"
    validator = jsonschema_rs.Draft202012Validator(schema)
    [example] = schema["examples"]
    validator.validate(example)
    WorkflowSpec.model_validate(example)
    conditional = {
        "id": "c",
        "type": "conditional",
        "condition": {"not": {"field": "x", "operator": "exists"}},
        "else": [{"id": "l", "type": "loop", "for_each": "context.x", "steps": [WAIT]}],
    }
    assert validator.is_valid({"name": "w", "steps": [conditional]})
    for wrong in ({"otherwise": [WAIT]}, {"colour": "red"}, {"type": "branch"}, {"id": "a b"}):
        assert not validator.is_valid({"name": "w", "steps": [conditional | wrong]})


def test_the_schema_offers_no_field_that_a_step_has_itself() -> None:
    task = WorkflowSpec.json_schema()["$defs"]["TaskTemplate"]
    assert {"config", "expansion_config", "max_retries"} <= task["properties"].keys()
    assert not {"key", "depends_on", "run_on", "on_failure"} & task["properties"].keys()
    assert task["required"] == ["type"]


def test_a_task_of_a_group_has_its_place_as_its_key() -> None:
    group = TaskGroup.model_validate(
        {"id": "g", "tasks": [{"name": "x", "type": "echo"}, {"name": "y", "type": "echo", "key": "mine"}]}
    )
    assert group.keys() == ["task_1", "mine"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({}, "run_form"),
        ({"workflow": "a", "definition": {}}, "run_form"),
        ({"definition": {}, "version": 1}, "version_without_workflow"),
        ({"task_groups": []}, "too_short"),
        ({"workflow": "a b"}, "invalid_name"),
    ],
)
def test_a_run_is_of_exactly_one_thing(data: dict[str, Any], kind: str) -> None:
    assert kinds(RunSpec, data) == [kind]


def test_what_clients_send_to_runs_is_read() -> None:
    assert RunSpec.model_validate({"workflow": "a", "version": 2, "variables": {"x": 1}}).version == 2
    retry = RetrySpec.model_validate({"from": "b", "overrides": {"b": {"message": 1}}, "outputs": {"c": [1]}})
    assert (retry.from_, retry.overrides, retry.outputs) == ("b", {"b": {"message": 1}}, {"c": [1]})
    assert SignalSpec.model_validate({"signal": "go", "context": {"approved": True}}).context == {"approved": True}
