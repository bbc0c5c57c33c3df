"""The workflow builder: the definition of each kind of step, and wrong use refused with a helpful text."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskengine.client import ConditionOperator, WorkflowBuilder, WorkflowCondition
from taskengine.domain.conditions import Condition
from taskengine.domain.workflow import WorkflowSpec

EXAMPLES = Path(__file__).parents[3] / "examples" / "workflows"
ECHO = {"type": "echo", "config": {"message": 1}}
task = WorkflowBuilder.task_step
PASSED = WorkflowCondition(field="test_status", operator=ConditionOperator.EQUALS, value="passed")
PLAIN = {"field": "test_status", "operator": "equals", "value": "passed"}
SUB = {"id": "sub", "type": "task", "task": ECHO}


def builder() -> WorkflowBuilder:
    return WorkflowBuilder("w")


def only_step(made: WorkflowBuilder) -> dict[str, Any]:
    """The step of a definition that the engine's model takes and that survives JSON and YAML."""
    definition = made.build()
    WorkflowSpec.model_validate(definition)
    assert json.loads(json.dumps(definition)) == definition == yaml.safe_load(yaml.safe_dump(definition))
    (step,) = definition["steps"]
    assert isinstance(step, dict)
    return step


def test_a_task_step_holds_its_template_with_the_spellings_it_came_in() -> None:
    template = {"name": "Build Application", "task_type": "code_generation", "metadata": {"action": "build"}}
    step = only_step(builder().add_task_step("build", task_template=template))
    assert step == {"id": "build", "type": "task", "task": template}


def test_parallel_and_sequential_steps_hold_the_steps_that_were_made_for_them() -> None:
    parallel = only_step(builder().add_parallel_step("p", sub_steps=[task("sub", ECHO)], max_parallel=2))
    assert parallel == {"id": "p", "type": "parallel", "steps": [SUB], "max_parallel": 2}
    sequential = only_step(builder().add_sequential_step("s", sub_steps=[task("sub", ECHO)], timeout_seconds=9))
    assert sequential == {"id": "s", "type": "sequential", "steps": [SUB], "timeout_seconds": 9}


def test_a_conditional_step_has_then_and_else_where_they_have_steps() -> None:
    made = builder().add_conditional_step("c", condition=PASSED, true_steps=[task("sub", ECHO)])
    assert only_step(made) == {"id": "c", "type": "conditional", "condition": PLAIN, "then": [SUB]}
    made = builder().add_conditional_step("c", condition=PASSED, false_steps=[task("sub", ECHO)])
    assert only_step(made) == {"id": "c", "type": "conditional", "condition": PLAIN, "else": [SUB]}


def test_a_loop_step_repeats_while_a_condition_holds_or_for_each_item() -> None:
    retries = WorkflowCondition(field="retry_count", operator=ConditionOperator.LESS_THAN, value=3)
    made = builder().add_loop_step("l", loop_condition=retries, loop_steps=[task("sub", ECHO)], max_iterations=5)
    condition = {"field": "retry_count", "operator": "less_than", "value": 3}
    assert only_step(made) == {"id": "l", "type": "loop", "condition": condition, "steps": [SUB], "max_iterations": 5}
    made = builder().add_loop_step("l", for_each=("a", "b"), loop_steps=[task("sub", ECHO)], max_parallel=2)
    assert only_step(made) == {
        "id": "l",
        "type": "loop",
        "for_each": ["a", "b"],
        "steps": [SUB],
        "max_parallel": 2,
    }
    made = builder().add_loop_step("l", for_each="variables.regions", loop_steps=[task("sub", ECHO)])
    assert only_step(made)["for_each"] == "variables.regions"


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"wait_seconds": 300}, {"seconds": 300}),
        ({"wait_condition": PASSED}, {"condition": PLAIN}),
        ({"until": datetime(2030, 1, 31, 9, tzinfo=UTC)}, {"until": "2030-01-31T09:00:00+00:00"}),
        ({"until": "{{ variables.start }}"}, {"until": "{{ variables.start }}"}),
        (
            {"signal": "pushed", "timeout_seconds": 60, "on_timeout": "continue"},
            {"signal": "pushed", "timeout_seconds": 60, "on_timeout": "continue"},
        ),
        ({"approvers": ["eve"]}, {"approval": {"approvers": ["eve"]}}),
        ({"approvers": ["eve"], "message": "go?"}, {"approval": {"approvers": ["eve"], "message": "go?"}}),
    ],
)
def test_a_wait_step_waits_for_one_thing(arguments: dict[str, Any], fields: dict[str, Any]) -> None:
    assert only_step(builder().add_wait_step("w", **arguments)) == {"id": "w", "type": "wait", **fields}


def test_a_workflow_step_names_a_workflow_and_hands_it_variables() -> None:
    made = builder().add_workflow_step("sub", "other", version=2, variables={"x": "{{ item }}"}, timeout_seconds=60)
    assert only_step(made) == {
        "id": "sub",
        "type": "workflow",
        "workflow": "other",
        "version": 2,
        "variables": {"x": "{{ item }}"},
        "timeout_seconds": 60,
    }


def test_every_step_takes_the_common_options() -> None:
    made = builder().add_task_step("a", ECHO).add_task_step("b", ECHO, depends_on=[])
    made.add_wait_step(
        "c", 1, depends_on=("a", "b"), run_on="always", on_failure="continue", name="C", description="waits"
    )
    _, b, c = made.build()["steps"]
    assert b["depends_on"] == []
    assert c == {
        "id": "c",
        "type": "wait",
        "seconds": 1,
        "depends_on": ["a", "b"],
        "run_on": "always",
        "on_failure": "continue",
        "name": "C",
        "description": "waits",
    }


def test_a_definition_holds_what_the_builder_was_made_with() -> None:
    made = WorkflowBuilder(
        "w", "does it", variables={"x": 1}, context={"y": 2}, on_failure="continue", timeout_seconds=60
    )
    definition = made.add_task_step("a", ECHO).build()
    assert list(definition) == ["name", "description", "variables", "context", "on_failure", "timeout_seconds", "steps"]
    assert WorkflowSpec.model_validate(definition).timeout_seconds == 60


def test_a_definition_that_was_built_is_a_copy_of_its_own() -> None:
    made = builder().add_task_step("a", ECHO)
    made.build()["steps"][0]["task"]["config"]["message"] = "changed"
    assert made.build()["steps"][0]["task"] == ECHO


def test_a_title_becomes_a_name_and_is_the_description_if_there_is_no_other() -> None:
    titled = WorkflowBuilder("My CI/CD Pipeline").add_task_step("a", ECHO).build()
    assert (titled["name"], titled["description"]) == ("My-CI-CD-Pipeline", "My CI/CD Pipeline")
    described = WorkflowBuilder("PR Review", "reviews").add_task_step("a", ECHO).build()
    assert (described["name"], described["description"]) == ("PR-Review", "reviews")
    assert "description" not in builder().add_task_step("a", ECHO).build()


def test_conditions_are_joined_in_dicts() -> None:
    there = WorkflowCondition("context.x", ConditionOperator.EXISTS)
    joined = {"all": [PASSED, {"not": {"any": [there, PLAIN]}}]}
    step = only_step(builder().add_conditional_step("c", joined, [task("sub", ECHO)]))
    exists = {"field": "context.x", "operator": "exists"}
    assert step["condition"] == {"all": [PLAIN, {"not": {"any": [exists, PLAIN]}}]}


def test_the_operators_are_those_of_the_engine() -> None:
    for operator in ConditionOperator:
        value = [1] if operator in ("in", "not_in") else "x"
        step = only_step(builder().add_wait_step("w", wait_condition=WorkflowCondition("f", operator.value, value)))
        assert Condition.model_validate(step["condition"]).operator == operator


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: builder().add_task_step("a", ECHO).add_task_step("a", ECHO), "'a' is there twice"),
        (
            lambda: builder().add_task_step("sub", ECHO).add_sequential_step("s", [task("sub", ECHO)]),
            "'sub' is there twice",
        ),
        (
            lambda: builder().add_conditional_step("c", PASSED, [task("x", ECHO)], [task("x", ECHO)]),
            "'x' is there twice",
        ),
        (lambda: builder().add_sequential_step("s", [task("s", ECHO)]), "'s' is there twice"),
        (lambda: builder().add_parallel_step("p", []), "'p' has no sub_steps"),
        (lambda: builder().add_sequential_step("p", []), "'p' has no sub_steps"),
        (lambda: builder().add_conditional_step("c", PASSED), "neither true_steps nor false_steps"),
        (lambda: builder().add_loop_step("l", PASSED), "'l' has no loop_steps"),
        (lambda: builder().add_loop_step("l", loop_steps=[task("x", ECHO)]), "has none of them"),
        (
            lambda: builder().add_loop_step("l", PASSED, [task("x", ECHO)], for_each=[1]),
            "has loop_condition and for_each; give exactly one",
        ),
        (lambda: builder().add_loop_step("l", PASSED, [task("x", ECHO)], max_parallel=2), "max_parallel goes with"),
        (
            lambda: builder().add_wait_step("w", wait_seconds=1, wait_condition=PASSED),
            "has wait_seconds and wait_condition; give exactly one",
        ),
        (lambda: builder().add_wait_step("w"), "has none of them; give exactly one of wait_seconds, wait_condition"),
        (lambda: builder().add_wait_step("w", 1, timeout_seconds=2), "drop timeout_seconds"),
        (lambda: builder().add_wait_step("w", signal="s", message="m"), "give approvers too"),
        (lambda: builder().add_wait_step("w", signal="s", on_timeout="fail"), "give timeout_seconds too"),
        (lambda: builder().add_wait_step("w", until=datetime(2030, 1, 1)), "needs a time zone"),
        (lambda: WorkflowCondition("f", "like", 1), "'like' is no operator of a condition; there are equals, "),
        (lambda: WorkflowBuilder("//"), "needs a letter"),
        (lambda: builder().build(), "has no steps"),
    ],
)
def test_wrong_use_is_refused_at_once(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wrong()


def test_a_step_that_was_refused_is_not_there() -> None:
    made = builder().add_task_step("a", ECHO)
    with pytest.raises(ValueError, match="twice"):
        made.add_sequential_step("s", [task("x", ECHO), task("a", ECHO)])
    assert [step["id"] for step in made.add_task_step("x", ECHO).build()["steps"]] == ["a", "x"]


READY_MADE = {
    "ci_cd.yaml": WorkflowBuilder.create_ci_cd_workflow(
        name="ci_cd", created_by="bootstrap", repository_url="https://github.com/example/repo"
    ),
    "data_processing.yaml": WorkflowBuilder.create_data_processing_workflow(
        name="data_processing", created_by="bootstrap", data_sources=["db1", "api1", "file1"]
    ),
    "code_review.yaml": WorkflowBuilder.create_code_review_workflow(
        name="code_review", created_by="bootstrap", pull_request_url="https://github.com/example/repo/pull/123"
    ),
}


@pytest.mark.parametrize("file", READY_MADE)
def test_a_ready_made_workflow_is_the_one_in_the_examples(file: str) -> None:
    definition = yaml.safe_load((EXAMPLES / file).read_text())
    assert READY_MADE[file] == definition
    WorkflowSpec.model_validate(definition)


def test_every_workflow_of_the_examples_is_ready_made() -> None:
    assert {path.name for path in EXAMPLES.glob("*.yaml")} == set(READY_MADE)
