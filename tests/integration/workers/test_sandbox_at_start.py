"""Real workers: one on a machine that cannot isolate refuses scripts, one that is killed leaves nothing of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskengine import runtime
from taskengine.domain.task import TaskSpec
from taskengine.lifecycle import keys, query
from taskengine.lifecycle.cancel import cancel
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.submit import submit
from tests.integration.workers.test_sandbox import marked
from tests.servers import Servers
from tests.stack import Stack, eventually

WORKER = "worker-automation"


@pytest.fixture(scope="module")
def stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with servers.database() as url:
        servers.flush()
        made = Stack(
            servers,
            url,
            tmp_path_factory.mktemp("stack"),
            workers="automation=1",
            cancel_poll_seconds=0.1,
            cancel_grace_seconds=5,
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def engine(stack: Stack) -> Iterator[Engine]:
    made = runtime.build(stack.settings)
    yield made
    made.close()


def submitted(engine: Engine, **config: Any) -> UUID:
    spec = {"name": "a script", "type": "script", "config": config, "max_retries": 0}
    [task_id] = submit(engine, keys.local_caller(engine), [TaskSpec.model_validate(spec)])
    return task_id


def ended(engine: Engine, task_id: UUID) -> dict[str, Any]:
    """The task once it is final."""

    def look() -> dict[str, Any] | None:
        task = query.task(engine, keys.local_caller(engine), task_id)
        return task if task["status"] in {"completed", "failed", "cancelled"} else None

    found = eventually(look, 60, "the task has ended")
    assert found is not None
    return found


def test_a_worker_that_cannot_isolate_says_so_at_its_start_and_refuses_scripts(
    stack: Stack, engine: Engine, tmp_path: Path
) -> None:
    stack.start(WORKER, PATH=str(tmp_path))
    try:
        log = stack.log(WORKER)
        eventually(lambda: log.exists() and "sandbox_unavailable" in log.read_text(), 60, "the worker says it")
        assert "bubblewrap is not installed" in log.read_text()
        task = ended(engine, submitted(engine, code="result = 1"))
        assert (task["status"], task["last_error"]["code"]) == ("failed", "sandbox_unavailable")
        assert "install the package" in task["last_error"]["message"]
    finally:
        stack.stop(WORKER)


STAYS = "import os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(600)"


def test_a_script_ends_with_its_task_and_with_its_worker(stack: Stack, engine: Engine) -> None:
    stack.start(WORKER)
    try:
        assert ended(engine, submitted(engine, code="result = input * 2", input=21))["result"]["result"] == 42
        mark = f"mark-{uuid4().hex}"
        cancelled = submitted(engine, code=STAYS, env={"MARK": mark})
        eventually(lambda: len(marked(mark)) >= 2, 60, "the script runs")
        cancel(engine, keys.local_caller(engine), cancelled, "no longer wanted")
        assert ended(engine, cancelled)["status"] == "cancelled"
        assert marked(mark) == []

        submitted(engine, code=STAYS, env={"MARK": mark})
        eventually(lambda: len(marked(mark)) >= 2, 60, "the next script runs")
        for process in stack.pool(WORKER):
            os.kill(process, signal.SIGKILL)
        eventually(lambda: not marked(mark), 60, "everything inside has ended")
    finally:
        stack.stop(WORKER)
