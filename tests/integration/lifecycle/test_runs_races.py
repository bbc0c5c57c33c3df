"""Verbs on a run while its tasks end in many threads: whatever deadlocks, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Conflict
from taskengine.domain.outcome import Succeeded
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import control_run, query_runs, start_run
from taskengine.lifecycle.claim import Claimed, claim
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from tests.conftest import Bench

TASK = {"name": "t", "type": "echo"}
LOOP = {
    "id": "l",
    "type": "loop",
    "for_each": [1, 2, 3],
    "max_parallel": 3,
    "steps": [{"id": f"a{number}", "type": "task", "depends_on": [], "task": TASK} for number in range(4)],
}


def together(*works: Callable[[], Any]) -> list[BaseException]:
    """Do all at once; returns what was raised."""
    raised: list[BaseException] = []

    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def held(bench: Bench, run_id: UUID) -> list[Claimed]:
    rows = bench.sql("SELECT o.task_id FROM outbox o JOIN tasks t ON t.id = o.task_id WHERE run_id = :id", id=run_id)
    return claim(bench.engine, [(row.task_id, 1) for row in rows], "w")[0]


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_a_run_that_is_stopped_while_its_tasks_end_ends_as_it_should(bench: Bench, verb: str) -> None:
    engine, caller = bench.engine, bench.caller
    for _ in range(5):
        spec = RunSpec.model_validate({"definition": {"name": "x", "steps": [LOOP]}})
        run_id = start_run.start(engine, caller, spec)["id"]

        def steer(run_id: UUID = run_id) -> Any:
            if verb == "cancel":
                return control_run.cancel(engine, caller, run_id, None)
            return control_run.pause(engine, caller, run_id)

        ends = [
            lambda item=item: finish(engine, [Ended(item, Succeeded(None), result_json=b"null")])
            for item in held(bench, run_id)
        ]
        assert len(ends) == 12
        raised = together(*ends[:6], lambda: engine.db.again(steer), *ends[6:])
        # The run may have ended before.
        assert [error for error in raised if not isinstance(error, Conflict)] == []
        if query_runs.run(engine, caller, run_id)["status"] == "paused":
            control_run.resume(engine, caller, run_id)
        status = query_runs.run(engine, caller, run_id)["status"]
        assert status in ({"completed", "cancelled"} if verb == "cancel" else {"completed"})
        assert bench.sql("SELECT id FROM tasks WHERE run_id = :id AND completed_at IS NULL", id=run_id) == []
