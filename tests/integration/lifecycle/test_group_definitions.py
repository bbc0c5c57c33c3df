"""Task groups against the installed task types."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.task import Caller
from taskengine.domain.workflow import TaskGroup
from taskengine.lifecycle.definitions import DefinitionFault, check_groups
from taskengine.lifecycle.engine import Engine


def task(key: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "t", "type": "echo", "key": key, **more}


def of_groups(engine: Engine, caller: Caller, *groups: dict[str, Any], **context: Any) -> list[DefinitionFault]:
    return check_groups(engine, caller, [TaskGroup.model_validate(group) for group in groups], context)


def test_groups_that_depend_on_each_other_well_have_no_fault(engine: Engine, caller: Caller) -> None:
    faults = of_groups(
        engine,
        caller,
        {"id": "a", "tasks": [task(), task("x", depends_on=["task_1"])]},
        {"id": "b", "tasks": [task("y", depends_on=["a.x"], config={"message": "{{ tasks.x.result }}"})]},
        {"id": "c", "depends_on": ["a", "b"], "tasks": [task("z", config={"message": "{{ context.customer }}"})]},
        customer="Acme",
    )
    assert faults == []


GROUPS: list[tuple[str, list[dict[str, Any]], str, str, str]] = [
    (
        "a group id twice",
        [{"id": "a", "tasks": [task()]}, {"id": "a", "tasks": [task()]}],
        "duplicate_id",
        "task_groups[1].id",
        "task_groups[0]",
    ),
    (
        "a key twice",
        [{"id": "a", "tasks": [task("x"), task("x")]}],
        "duplicate_key",
        "task_groups[0].tasks[1].key",
        "tasks[0]",
    ),
    (
        "a key that a task without one gets",
        [{"id": "a", "tasks": [task(), task("task_1")]}],
        "duplicate_key",
        "task_groups[0].tasks[1].key",
        "tasks[0]",
    ),
    (
        "an unknown group",
        [{"id": "first", "tasks": [task()]}, {"id": "b", "depends_on": ["frist"], "tasks": [task()]}],
        "unknown_dependency",
        "task_groups[1].depends_on[0]",
        "'first'",
    ),
    (
        "a group that depends on itself",
        [{"id": "a", "depends_on": ["a"], "tasks": [task()]}],
        "circular_dependency",
        "task_groups[0].depends_on[0]",
        "itself",
    ),
    (
        "a task of another group without its group",
        [{"id": "a", "tasks": [task("x")]}, {"id": "b", "tasks": [task("y", depends_on=["x"])]}],
        "unknown_dependency",
        "task_groups[1].tasks[0].depends_on[0]",
        "write a.x",
    ),
    (
        "a group where a task is meant",
        [{"id": "a", "tasks": [task("x")]}, {"id": "b", "tasks": [task("y", depends_on=["a"])]}],
        "unknown_dependency",
        "task_groups[1].tasks[0].depends_on[0]",
        "a.key",
    ),
    (
        "a task that is not there",
        [{"id": "a", "tasks": [task("x")]}, {"id": "b", "tasks": [task("y", depends_on=["a.xx"])]}],
        "unknown_dependency",
        "task_groups[1].tasks[0].depends_on[0]",
        "'a.x'",
    ),
    (
        "a task that depends on itself",
        [{"id": "a", "tasks": [task("x", depends_on=["a.x"])]}],
        "circular_dependency",
        "task_groups[0].tasks[0].depends_on[0]",
        "itself",
    ),
    (
        "a cycle within a group",
        [{"id": "a", "tasks": [task("x", depends_on=["y"]), task("y", depends_on=["x"])]}],
        "circular_dependency",
        "task_groups[0].tasks[0].depends_on",
        "a.x -> a.y -> a.x",
    ),
    (
        "a cycle of groups",
        [{"id": "a", "depends_on": ["b"], "tasks": [task()]}, {"id": "b", "depends_on": ["a"], "tasks": [task()]}],
        "circular_dependency",
        "task_groups[0].depends_on",
        "a -> b -> a",
    ),
    (
        "a cycle of a group and a task",
        [{"id": "a", "depends_on": ["b"], "tasks": [task("x")]}, {"id": "b", "tasks": [task("y", depends_on=["a.x"])]}],
        "circular_dependency",
        "task_groups[0].depends_on",
        "a -> b -> b.y -> a.x -> a",
    ),
    (
        "an unknown type",
        [{"id": "a", "tasks": [{"name": "t", "type": "ecco"}]}],
        "unknown_type",
        "task_groups[0].tasks[0].type",
        "'echo'",
    ),
    (
        "a wrong config",
        [{"id": "a", "tasks": [task(config={"mesage": 1})]}],
        "unknown_field",
        "task_groups[0].tasks[0].config.mesage",
        "'message'",
    ),
    (
        "an undefined name",
        [{"id": "a", "tasks": [task(config={"message": "{{ tasks.nobody.result }}"})]}],
        "unknown_step",
        "task_groups[0].tasks[0].config.message",
        "nobody",
    ),
]


@pytest.mark.parametrize(("title", "groups", "code", "path", "words"), GROUPS, ids=[item[0] for item in GROUPS])
def test_invalid_groups_are_told_where_and_why(
    engine: Engine, caller: Caller, title: str, groups: list[dict[str, Any]], code: str, path: str, words: str
) -> None:
    [fault] = of_groups(engine, caller, *groups)
    assert (fault.code, fault.path) == (code, path)
    assert words in fault.message


def test_too_many_tasks_are_refused_as_a_whole(engine: Engine, caller: Caller) -> None:
    tasks = [task() for _ in range(10_000)]
    [fault] = of_groups(
        engine, caller, {"id": "a", "tasks": tasks}, {"id": "b", "tasks": tasks}, {"id": "c", "tasks": tasks[:1]}
    )
    assert (fault.code, fault.path) == ("too_many_tasks", "task_groups")


@pytest.mark.parametrize("name", ["x", "task_2", "a"])
def test_a_field_of_the_context_cannot_be_called_like_a_task_or_group(
    engine: Engine, caller: Caller, name: str
) -> None:
    [fault] = of_groups(engine, caller, {"id": "a", "tasks": [task("x"), task()]}, customer="Acme", **{name: 1})
    assert (fault.code, fault.path) == ("step_key", f"context.{name}")
