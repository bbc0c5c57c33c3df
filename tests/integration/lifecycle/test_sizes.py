"""What one task and one submission may hold."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.errors import Invalid
from taskengine.domain.task import TaskChanges
from taskengine.lifecycle import edit
from taskengine.lifecycle.validate import MAX_CONFIG_BYTES, MAX_EDGES, MAX_TEMPLATES
from tests.conftest import Bench

LARGEST = "x" * (MAX_CONFIG_BYTES - len('{"message":""}'))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (LARGEST + "x", "config_too_large"),
        (["{{ now }}"] * (MAX_TEMPLATES + 1), "too_many_templates"),
        ({"a": {"b": "{{ now }}" * (MAX_TEMPLATES + 1)}}, "too_many_templates"),
    ],
)
def test_a_config_over_a_limit_is_refused(bench: Bench, message: Any, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({}, {"config": {"message": message}})
    assert [(fault.loc, fault.type) for fault in caught.value.errors] == [((1, "config"), code)]
    (task_id,) = bench.submit({})
    changes = TaskChanges.model_validate({"config": {"message": message}})
    with pytest.raises(Invalid) as refused:
        edit.update(bench.engine, bench.caller, task_id, changes)
    assert [(fault.loc, fault.type) for fault in refused.value.errors] == [(("config",), code)]


@pytest.mark.parametrize("message", [LARGEST, ["{{ 1 }}"] * MAX_TEMPLATES, "{{ 1 }}" * MAX_TEMPLATES])
def test_a_config_at_a_limit_is_taken(bench: Bench, message: Any) -> None:
    (task_id,) = bench.submit({"config": {"message": message}})
    assert bench.task(task_id)["status"] == "queued"


def test_a_submission_with_too_many_dependencies_is_refused(bench: Bench) -> None:
    above = [{"key": f"k{n}"} for n in range(1000)]
    below = [{"depends_on": [task["key"] for task in above]}] * (MAX_EDGES // 1000)
    with pytest.raises(Invalid) as caught:
        bench.submit(*above, *below, {"depends_on": ["k0"]})
    assert [(fault.loc, fault.type) for fault in caught.value.errors] == [(("tasks",), "too_many_dependencies")]
    assert bench.sql("SELECT FROM tasks") == []
