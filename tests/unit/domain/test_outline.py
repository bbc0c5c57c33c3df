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


def critical(*steps: dict[str, Any], **seconds: float) -> list[str]:
    spec = WorkflowSpec.model_validate({"name": "x", "steps": list(steps)})
    edges = outline.edges(outline.flattened(nodes.of_steps(spec.steps, "fail")))
    path, _ = graph.critical_path(edges, {point: seconds.get(point.node.key, 0.0) for point in edges})
    return [point.node.path for point in path if point.is_work]


def test_what_takes_no_time_but_lies_between_is_on_the_critical_path() -> None:
    signal = {"type": "wait", "signal": "go"}
    inside = {"id": "c", "type": "sequential", "steps": [task("x"), {"id": "w", **signal}]}
    assert critical(inside, task("z"), x=1.0, z=1.0) == ["c.x", "c.w", "z"]
    named = task("z", depends_on=["x", "w"])
    assert critical(task("x"), {"id": "w", **signal}, named, x=1.0, z=1.0) == ["x", "w", "z"]
    assert critical(task("x"), {"id": "w", **signal}, x=1.0) == ["x", "w"]


def test_what_takes_no_time_beside_something_that_does_is_not() -> None:
    aside = {"id": "p", "type": "parallel", "steps": [task("x"), {"id": "w", "type": "wait", "signal": "go"}]}
    assert critical(aside, task("z"), x=1.0) == ["p.x", "z"]


def test_each_step_goes_as_often_as_the_loops_around_it() -> None:
    inner = {"id": "i", "type": "loop", "for_each": [1, 2, 3, 4, 5], "max_parallel": 2, "steps": [task("b")]}
    outer = {"id": "o", "type": "loop", "for_each": "context.x", "steps": [task("a"), inner]}
    other = {"id": "n", "type": "loop", "condition": {"field": "x", "operator": "exists"}, "steps": [task("c")]}
    spec = WorkflowSpec.model_validate({"name": "x", "steps": [outer, other]})
    flat = outline.flattened(nodes.of_steps(spec.steps, "fail"))

    def length(source: Any) -> int | None:
        return len(source) if isinstance(source, list) else {"context.x": 4}.get(source)

    found = {node.path: number for node, number in zip(flat, outline.rounds(flat, length), strict=True)}
    assert found == {"o": 1, "o.a": 4, "o.i": 4, "o.i.b": 12, "n": 1, "n.c": 1}
