"""Random graphs of tasks, and the proof that a run of one did each task once, and in order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskengine.domain.graph import critical_path
from tests.stack import Stack

Upstream = list[set[int]]


@dataclass(frozen=True)
class Graph:
    """What each task depends on: numbers less than its own. ``seconds``: how long each task sleeps."""

    upstream: Upstream
    seconds: list[float]

    @property
    def edges(self) -> int:
        """How many dependencies there are."""
        return sum(map(len, self.upstream))

    def shortest(self, workers: int) -> tuple[float, float]:
        """Seconds that no schedule can undercut: those of the longest path, and of so many workers at full load."""
        edges = {task: sorted(upstream) for task, upstream in enumerate(self.upstream)}
        _, path = critical_path(edges, dict(enumerate(self.seconds)))
        return path, max(path, sum(self.seconds) / workers)


def _deep(chance: random.Random, size: int) -> Upstream:
    """One chain."""
    return [{task - 1} if task else set() for task in range(size)]


def _wide(chance: random.Random, size: int) -> Upstream:
    """A few layers of very many tasks."""
    width = max(size // 4, 1)
    return [
        {chance.randrange((task // width - 1) * width, task // width * width)} if task >= width else set()
        for task in range(size)
    ]


def _diamonds(chance: random.Random, size: int) -> Upstream:
    """Forks of up to 30 tasks and their joins, one behind the other."""
    upstream: Upstream = [set()]
    while len(upstream) < size:
        fork, width = len(upstream) - 1, min(chance.randint(2, 30), max(size - len(upstream) - 1, 1))
        upstream += [{fork} for _ in range(width)]
        if len(upstream) < size:
            upstream.append(set(range(fork + 1, fork + 1 + width)))
    return upstream


def _tangled(chance: random.Random, size: int) -> Upstream:
    """No order of series and parallels: it begins with the shape of an N, and goes on at random."""
    upstream: Upstream = [set(), set(), {0}, {0, 1}]
    return upstream + [{chance.randrange(max(task - 100, 0), task)} for task in range(4, size)]


SHAPES: dict[str, Callable[[random.Random, int], Upstream]] = {
    "deep": _deep,
    "wide": _wide,
    "diamonds": _diamonds,
    "tangled": _tangled,
}


def make(
    shape: str, seed: int, size: int, edges: int, seconds: Callable[[random.Random], float] = lambda _: 0
) -> Graph:
    """A graph of that shape, with dependencies added at random until there are ``edges``."""
    chance = random.Random(f"{shape} {seed} {size} {edges}")
    upstream = SHAPES[shape](chance, size)
    missing = edges - sum(map(len, upstream))
    # In a wide graph a task depends on layers before its own, so that it stays wide.
    own = max(size // 4, 1) if shape == "wide" else 1
    while missing > 0:
        task = chance.randrange(own, size)
        other = chance.randrange(task // own * own)
        if other not in upstream[task]:
            upstream[task].add(other)
            missing -= 1
    return Graph(upstream, [round(seconds(chance), 3) for _ in range(size)])


def _task(graph: Graph, task: int) -> dict[str, Any]:
    config = {"message": task} | ({"sleep_seconds": graph.seconds[task]} if graph.seconds[task] else {})
    return {"type": "echo", "config": config}


def as_steps(graph: Graph, seed: int) -> dict[str, Any]:
    """The body of a run with an inline definition, its steps in any order."""
    steps = [
        {
            "id": f"t{task}",
            "type": "task",
            "task": _task(graph, task),
            "depends_on": [f"t{n}" for n in sorted(upstream)],
        }
        for task, upstream in enumerate(graph.upstream)
    ]
    random.Random(seed).shuffle(steps)
    return {"definition": {"name": "graph", "steps": steps}}


def as_groups(graph: Graph, seed: int, groups: int = 5) -> dict[str, Any]:
    """The body of a run with task groups: each task in one of them, dependencies within and across."""
    chance = random.Random(seed)
    home = [chance.randrange(groups) for _ in graph.upstream]
    tasks: list[list[dict[str, Any]]] = [[] for _ in range(groups)]
    for task, upstream in enumerate(graph.upstream):
        names = [f"t{n}" if home[n] == home[task] else f"g{home[n]}.t{n}" for n in sorted(upstream)]
        tasks[home[task]].append(_task(graph, task) | {"name": f"task {task}", "key": f"t{task}", "depends_on": names})
    for members in tasks:
        chance.shuffle(members)
    return {"task_groups": [{"id": f"g{n}", "tasks": members} for n, members in enumerate(tasks) if members]}


def prove(stack: Stack, run_id: str, graph: Graph) -> None:
    """The run completed; each task ran once, to its end, and after all that it depends on."""
    run = stack.get(f"/v1/runs/{run_id}")
    assert (run["status"], run["error"]) == ("completed", None)
    rows = stack.sql(
        "SELECT id, key, status, attempt, result, started_at, completed_at FROM tasks "
        "WHERE run_id = %s AND kind = 'task'",
        run_id,
    )
    tasks = {int(row["key"][1:]): row for row in rows}
    assert len(rows) == len(tasks) == len(graph.upstream)
    assert [
        row for task, row in tasks.items() if (row["status"], row["result"]) != ("completed", {"message": task})
    ] == []
    _prove_once(stack, run_id, len(rows))
    early = [
        (task, other)
        for task, upstream in enumerate(graph.upstream)
        for other in upstream
        if tasks[task]["started_at"] < tasks[other]["completed_at"]
    ]
    assert early == []
    shown = stack.get(f"/v1/runs/{run_id}/graph")
    number = {str(row["id"]): task for task, row in tasks.items()}
    edges = {(number.get(edge["from"]), number.get(edge["to"])) for edge in shown["edges"]}
    assert edges == {(other, task) for task, upstream in enumerate(graph.upstream) for other in upstream}


def _prove_once(stack: Stack, run_id: str, size: int) -> None:
    executions = stack.sql(
        "SELECT e.task_id, e.attempt, e.status FROM executions e JOIN tasks t ON t.id = e.task_id WHERE t.run_id = %s",
        run_id,
    )
    assert len({row["task_id"] for row in executions}) == len(executions) == size
    assert Counter((row["attempt"], row["status"]) for row in executions) == {(1, "succeeded"): size}
    events = stack.sql(
        "SELECT e.type, count(*) AS n, count(DISTINCT e.task_id) AS tasks "
        "FROM events e JOIN tasks t ON t.id = e.task_id WHERE t.run_id = %s AND t.kind = 'task' GROUP BY e.type",
        run_id,
    )
    counts = {row["type"]: (row["n"], row["tasks"]) for row in events}
    assert {name: counts[name] for name in ("task.created", "task.claimed", "task.completed")} == dict.fromkeys(
        ("task.created", "task.claimed", "task.completed"), (size, size)
    )
    assert set(counts) <= {"task.created", "task.queued", "task.claimed", "task.completed"}


def makespan(run: dict[str, Any]) -> float:
    """Seconds from a run's start to its end."""
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "completed_at"))
    return (ended - began).total_seconds()
