"""A definition becomes rows-to-be: in order, each with what it depends on and who lets it go."""

from __future__ import annotations

from typing import Any

from taskengine.domain import nodes
from taskengine.domain.nodes import Node
from taskengine.domain.states import Kind
from taskengine.domain.workflow import TaskGroup, WorkflowSpec

ECHO = {"type": "echo"}


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "task", "task": ECHO} | more


def made(*steps: dict[str, Any], **more: Any) -> dict[str, Node]:
    spec = WorkflowSpec.model_validate({"name": "x", "steps": list(steps)} | more)
    found = nodes.of_steps(spec.steps, spec.on_failure)
    names = {node.path: node for node in found}
    assert len(names) == len(found)
    for place, node in enumerate(found):
        assert all(other < place for other in node.upstream)
        assert node.parent is None or node.parent < place
    return names


def upstream(found: dict[str, Node], path: str) -> list[str]:
    return [list(found)[place] for place in found[path].upstream]


def test_steps_without_depends_on_follow_one_another() -> None:
    found = made(task("a"), task("b"), task("c"))
    assert [upstream(found, name) for name in "abc"] == [[], ["a"], ["b"]]


def test_depends_on_replaces_the_order_of_the_list() -> None:
    found = made(task("a", depends_on=["c"]), task("b", depends_on=[]), task("c", depends_on=[]))
    assert [upstream(found, name) for name in "abc"] == [["c"], [], []]
    assert found["a"].sequence > found["c"].sequence


def test_a_dependency_that_is_named_twice_counts_once() -> None:
    assert upstream(made(task("a"), task("b", depends_on=["a", "a"])), "b") == ["a"]


def test_parallel_steps_wait_for_nothing_but_their_parent() -> None:
    found = made({"id": "p", "type": "parallel", "steps": [task("a"), task("b", depends_on=["a"])]})
    assert (upstream(found, "p.a"), upstream(found, "p.b")) == ([], ["p.a"])


def test_a_branch_knows_its_name() -> None:
    condition = {"field": "x", "operator": "exists"}
    found = made(
        {"id": "c", "type": "conditional", "condition": condition, "then": [task("a"), task("b")], "else": [task("e")]}
    )
    assert {path: node.step.get("branch") for path, node in found.items() if path != "c"} == {
        "c.a": "then",
        "c.b": "then",
        "c.e": "else",
    }
    assert upstream(found, "c.b") == ["c.a"]


def test_a_loop_keeps_its_body_for_later() -> None:
    found = made({"id": "l", "type": "loop", "for_each": [1], "steps": [task("a")]})
    assert list(found) == ["l"]
    assert found["l"].step["steps"][0]["id"] == "a"
    assert (found["l"].step["max_iterations"], found["l"].step["max_parallel"]) == (100, 1)


def test_a_round_is_a_list_of_its_own() -> None:
    body = nodes.STEPS.validate_python([task("a"), task("b")])
    found = nodes.of_steps(body, "continue", "l[3].", Node("l[3]", "l[3]", Kind.sequential, "l [3]"))
    assert [(node.path, node.parent, node.upstream) for node in found] == [
        ("l[3]", None, []),
        ("l[3].a", 0, []),
        ("l[3].b", 0, [1]),
    ]
    assert {node.on_failure for node in found[1:]} == {"continue"}


def test_an_expansion_is_its_own_kind_and_named_after_its_step() -> None:
    config = {"type": "array", "array_mapping": {"n": "input.numbers"}}
    found = made(task("a") | {"task": ECHO | {"expansion_config": config}, "name": "Each number"})
    assert (found["a"].kind, found["a"].name) == (Kind.expansion, "Each number")


def test_on_failure_of_the_workflow_is_the_default_of_its_steps() -> None:
    found = made(task("a"), task("b", on_failure="fail"), on_failure="continue")
    assert (found["a"].on_failure, found["b"].on_failure) == ("continue", "fail")


def test_tasks_of_groups_may_depend_on_tasks_of_others() -> None:
    groups = [
        {"id": "late", "tasks": [{"key": "x", "name": "x", "type": "echo", "depends_on": ["early.y", "z"]},
                                 {"key": "z", "name": "z", "type": "echo", "depends_on": ["early.y"]}]},
        {"id": "early", "tasks": [{"key": "y", "name": "y", "type": "echo"}]},
        {"id": "last", "depends_on": ["late"], "tasks": [{"name": "w", "type": "echo"}]},
    ]  # fmt: skip
    listed = nodes.of_groups([TaskGroup.model_validate(group) for group in groups])
    found = {node.path: node for node in listed}
    paths = list(found)
    assert sorted(paths[place] for place in found["late.x"].upstream) == ["early.y", "late.z"]
    assert [paths[place] for place in found["last"].upstream] == ["late"]
    for place, node in enumerate(listed):
        assert all(other < place for other in node.upstream)
        assert node.parent is None or node.parent < place
