"""What a definition of a few lines must not set off: endless children, runs that fan out, heaps of data."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.errors import Invalid
from taskengine.lifecycle import recover
from taskengine.lifecycle.settle import MOST_PLANTED
from tests.conftest import Bench
from tests.integration.lifecycle.runs import drain, go, register, shown, signal, start, task


def expansion(arrays: dict[str, list[int]], **more: Any) -> dict[str, Any]:
    config = {"type": "matrix", "array_mapping": {name: f"input.{name}" for name in arrays}}
    inner = {"type": "echo", "input": arrays, "expansion_config": config | more}
    return {"id": "x", "type": "task", "task": inner}


def test_an_expansion_has_a_limit(bench: Bench) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"max_children": 100})
    numbers = list(range(10))
    assert go(bench, [expansion({"a": numbers, "b": numbers})])["status"] == "completed"
    run = go(bench, [expansion({"a": numbers, "b": [*numbers, 10]})])
    assert run["status"] == "failed"
    assert "at most 100 are allowed (TASKENGINE_MAX_CHILDREN)" in run["error"]["message"]


def test_an_expansion_whose_number_only_making_tells_has_a_limit_too(bench: Bench) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"max_children": 1_500})
    arrays = {"a": list(range(50)), "b": list(range(50))}
    run_id = start(bench, [expansion(arrays, exclude=[{"a": 0, "b": 0}])])
    drain(bench)
    run = shown(bench, run_id)
    assert run["status"] == "failed"
    assert "TASKENGINE_MAX_CHILDREN" in str(run["error"])
    assert bench.sql("SELECT count(*) AS n FROM tasks WHERE parent_id IS NOT NULL")[0].n <= 1_500


def test_runs_that_fan_out_begin_some_at_a_time(bench: Bench) -> None:
    register(bench, "leaf", [task("a")])
    many = {"id": "p", "type": "parallel", "steps": [
        {"id": f"w{number}", "type": "workflow", "workflow": "leaf"} for number in range(20)
    ]}  # fmt: skip
    register(bench, "branch", [many])
    outer = [{"id": f"b{number}", "type": "workflow", "workflow": "branch"} for number in range(20)]
    run_id = start(bench, [{"id": "q", "type": "parallel", "steps": outer}])
    begun = bench.sql("SELECT count(*) AS n FROM tasks")[0].n
    assert begun < 41 + 2 * MOST_PLANTED
    assert bench.sql("SELECT count(*) AS n FROM tasks WHERE kind = 'workflow' AND status = 'deferred'")[0].n > 0
    drain(bench)
    assert recover.release_due(bench.engine) == 0
    assert shown(bench, run_id)["status"] == "completed"
    assert bench.sql("SELECT count(*) AS n FROM runs WHERE status = 'completed'")[0].n == 1 + 20 + 20 * 20


@pytest.mark.parametrize("text", ["x" * 2**20, "ä" * 2**19], ids=["letters", "letters of two bytes"])
def test_data_of_a_signal_has_a_limit(bench: Bench, text: str) -> None:
    run_id = start(bench, [{"id": "w", "type": "wait", "signal": "go"}])
    with pytest.raises(Invalid, match="data: has more than"):
        signal(bench, run_id, "go", data={"text": text})
    assert shown(bench, run_id)["status"] == "waiting"
