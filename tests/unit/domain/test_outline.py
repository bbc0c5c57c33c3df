"""A plan's graph: what goes at once, and what comes after what."""

from __future__ import annotations

from typing import Any

from taskengine.domain import graph, nodes, outline
from taskengine.domain.workflow import TaskGroup, WorkflowSpec

ECHO = {"type": "echo"}


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "task", "task": ECHO} | more


def planned(*steps: dict[str, Any]) -> list[list[str]]:
    spec = WorkflowSpec.model_validate({"name": "x", "steps": list(steps)})
    return layers(nodes.of_steps(spec.steps, spec.on_failure))


def layers(made: list[nodes.Node]) -> list[list[str]]:
    flat = outline.flattened(made)
    return [[node.path for node in layer] for layer in outline.layers(flat, outline.edges(flat))]


def test_a_list_has_one_step_a_layer() -> None:
    assert planned(task("a"), task("b")) == [["a"], ["b"]]


def test_what_holds_others_is_no_layer_of_its_own() -> None:
    inside = {"id": "p", "type": "parallel", "steps": [task("b"), task("c")]}
    assert planned(task("a"), inside, task("d")) == [["a"], ["p.b", "p.c"], ["d"]]


def test_what_follows_a_step_follows_all_that_is_in_it() -> None:
    long = {"id": "s", "type": "sequential", "steps": [task("b"), task("c")]}
    inside = {"id": "p", "type": "parallel", "steps": [task("a"), long]}
    assert planned(inside, task("d")) == [["p.a", "p.s.b"], ["p.s.c"], ["d"]]


def test_a_loop_counts_as_one_round_and_a_branch_as_both() -> None:
    condition = {"field": "x", "operator": "exists"}
    branch = {"id": "c", "type": "conditional", "condition": condition, "then": [task("t")], "else": [task("e")]}
    loop = {"id": "l", "type": "loop", "condition": condition, "steps": [task("a"), branch]}
    assert planned(loop, task("z")) == [["l.a"], ["l.c.t", "l.c.e"], ["z"]]


def test_thousands_of_tasks_after_thousands_take_no_time_to_speak_of() -> None:
    tasks = [{"name": "t", "type": "echo"}] * 5000
    groups = [{"id": "a", "tasks": tasks}, {"id": "b", "depends_on": ["a"], "tasks": tasks}]
    made = nodes.of_groups([TaskGroup.model_validate(group) for group in groups])
    assert [len(layer) for layer in layers(made)] == [5000, 5000]
    assert sum(map(len, outline.edges(outline.flattened(made)).values())) < 30_000


def test_the_critical_path_goes_through_what_holds_it() -> None:
    inside = {"id": "p", "type": "parallel", "steps": [task("b"), task("c")]}
    spec = WorkflowSpec.model_validate({"name": "x", "steps": [task("a"), inside]})
    flat = outline.flattened(nodes.of_steps(spec.steps, "fail"))
    edges = outline.edges(flat)
    weights = {point: {"a": 1.0, "p.b": 2.0, "p.c": 5.0}.get(point.node.path, 0.0) for point in edges}
    path, length = graph.critical_path(edges, weights)
    assert [point.node.path for point in path if point.is_work] == ["a", "p.c"]
    assert length == 6
