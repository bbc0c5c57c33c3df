"""Graphs of any shape through the door, with real workers: each task once, none before what it depends on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.flow import graphs
from tests.flow.graphs import Graph
from tests.stack import Stack, eventually

WORKERS = 2
SEED = 3  # try others when something about the planner or the count of dependencies changes
FORMS: list[Callable[[Graph, int], dict[str, Any]]] = [graphs.as_steps, graphs.as_groups]


def _run(stack: Stack, body: dict[str, Any]) -> dict[str, Any]:
    return _ended(stack, stack.post("/v1/runs", body)["id"])


def _ended(stack: Stack, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        run: dict[str, Any] = stack.get(f"/v1/runs/{run_id}?wait=20")
        return run if run["completed_at"] else {}

    return eventually(look, 60, f"run {run_id} ends")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", graphs.SHAPES)
def test_each_task_of_a_graph_runs_once_and_in_order(
    stack: Stack, shape: str, form: Callable[[Graph, int], dict[str, Any]]
) -> None:
    for seed, (size, edges) in enumerate([(4, 5), (40, 100), (150, 400)], SEED):
        graph = graphs.make(shape, seed, size, edges)
        run = _run(stack, form(graph, seed))
        graphs.prove(stack, run["id"], graph)


def test_a_graph_of_2000_tasks_and_5000_edges(stack: Stack) -> None:
    graph = graphs.make("tangled", SEED, 2_000, 5_000)
    run = _run(stack, graphs.as_groups(graph, SEED))
    print(f"2,000 tasks, {graph.edges} edges: {graphs.makespan(run):.1f} s")
    graphs.prove(stack, run["id"], graph)


@pytest.mark.parametrize("shape", graphs.SHAPES)
def test_a_graph_of_sleeping_tasks_takes_little_longer_than_it_must(stack: Stack, shape: str) -> None:
    graph = graphs.make(shape, SEED, 40, 80, lambda chance: chance.uniform(0.02, 0.2))
    run = _run(stack, graphs.as_steps(graph, SEED))
    graphs.prove(stack, run["id"], graph)
    path, least = graph.shortest(WORKERS)
    took = graphs.makespan(run)
    print(
        f"{shape}: {took:.2f} s, critical path {path:.2f} s, two workers need {least:.2f} s: {took / least:.2f} times"
    )
    assert took >= least * 0.98


def test_many_graphs_at_once_do_not_mix(stack: Stack) -> None:
    chance = random.Random(SEED)
    made = [graphs.make(chance.choice([*graphs.SHAPES]), seed, 30, 60) for seed in range(20)]
    ids = [stack.post("/v1/runs", chance.choice(FORMS)(graph, SEED))["id"] for graph in made]
    for run_id, graph in zip(ids, made, strict=True):
        _ended(stack, run_id)
        graphs.prove(stack, run_id, graph)
