from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from taskengine.cli import tree
from taskengine.client.run_models import Graph, Node, Run

NOW = datetime(2030, 1, 1, 12, 0, 10, tzinfo=UTC)
BEGUN = "2030-01-01T12:00:00Z"


def node(key: str, status: str = "pending", **fields: Any) -> Node:
    made: Any = {"id": key, "key": key, "path": f"flow.{key}", "name": key, "kind": "task", "type": "echo"}
    made |= {"status": status, "parent": None, "attempt": 0, "started_at": None, "completed_at": None, "children": None}
    return made | fields  # type: ignore[no-any-return] # built


def grown(*nodes: Node) -> list[tree.Step]:
    graph: Graph = {"run_id": "r", "status": "running", "nodes": list(nodes), "edges": []}
    return tree.grown(graph)


def drawn(steps: list[tree.Step], **options: Any) -> str:
    run: Any = {"name": "nightly", "status": "running", "progress": {"total": 3, "completed": 1, "running": 2}}
    shown: Run = run
    console = Console(file=io.StringIO(), width=100)
    console.print(tree.picture(shown, steps, **options))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return] # it is a StringIO


def test_steps_hang_below_their_holder_in_the_order_of_the_graph() -> None:
    steps = grown(node("b", parent="tests"), node("tests"), node("a", parent="tests"), node("lost", parent="gone"))
    assert [step.name() for step in tree.walk(steps)] == ["tests", "b", "a", "lost"]
    assert [step.name() for step in steps] == ["tests", "lost"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (node("a"), "pending"),
        (node("a", "running", started_at=BEGUN, attempt=1), "running, 10.0 s"),
        (node("a", "completed", started_at=BEGUN, completed_at="2030-01-01T12:00:02.5Z"), "completed, 2.5 s"),
        (node("a", "failed", started_at=BEGUN, completed_at=BEGUN, attempt=3), "failed, 0.0 s, attempt 3"),
        (
            node("a", "running", children={"total": 50, "completed": 30, "failed": 2, "running": 18}),
            "running, 32/50 (2 failed)",
        ),
    ],
)
def test_a_step_says_its_status_time_attempts_and_counts(step: Node, said: str) -> None:
    [grew] = grown(step)
    assert grew.state(NOW) == said


def test_a_clock_behind_the_server_s_shows_no_negative_time() -> None:
    [step] = grown(node("a", "running", started_at=BEGUN))
    assert step.state(datetime(2030, 1, 1, 11, tzinfo=UTC)) == "running, 0.0 s"


def test_the_picture_begins_with_the_run_and_its_counts() -> None:
    lines = drawn(grown(node("tests", "running"), node("unit", "completed", parent="tests"))).splitlines()
    assert lines[0] == "nightly  running, 3 tasks, 1 completed, 2 running"
    assert [line.split()[-2:] for line in lines[1:]] == [["tests", "running"], ["unit", "completed"]]


def test_a_crowded_tree_keeps_what_moves_and_what_holds_it() -> None:
    quiet = [node(f"n{number}", "completed", parent="many") for number in range(tree.MANY)]
    steps = grown(node("many", "pending"), *quiet, node("busy", "running", parent="many"))
    assert [line.split()[-2] for line in drawn(steps).splitlines()[1:]] == ["many", "busy"]
    assert len(drawn(steps, whole=True).splitlines()) == tree.MANY + 3


def test_names_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in drawn(grown(node("a\x1b[2J")))


@pytest.mark.parametrize(("total", "said"), [(0, "0 tasks"), (1, "1 task, 1 running"), (2, "2 tasks, 2 running")])
def test_one_task_is_not_told_as_many(total: int, said: str) -> None:
    run: Any = {"progress": {"total": total, "completed": 0, "running": total}}
    assert tree.progress(run) == said
