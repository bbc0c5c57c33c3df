"""Tasks in any state, and a task type that does what a test tells it."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue, SecretStr

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.task import PageRequest
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput
from taskengine.handlers.registry import Registry
from taskengine.lifecycle import cancel, control, query
from taskengine.lifecycle.claim import Claimed, claim
from tests.conftest import Bench

PAGE = PageRequest()
LATER = "2999-01-01T00:00:00Z"


class ProbeConfig(HandlerConfig):
    """Anything."""

    value: JsonValue = None
    pin: SecretStr | None = None


class Probe(Handler[ProbeConfig]):
    """Does what the test says, by default nothing."""

    type_name = "probe"
    queue = "integration"
    description = "For tests."
    Config = ProbeConfig
    Output = HandlerOutput
    example = MappingProxyType({})
    timeout_seconds = 20

    def __init__(self) -> None:
        self.does: Callable[[Context, ProbeConfig], Outcome] = lambda ctx, config: Succeeded({"value": config.value})

    def run(self, ctx: Context, config: ProbeConfig) -> Outcome:
        """Do it."""
        return self.does(ctx, config)


@pytest.fixture
def probe(bench: Bench) -> Probe:
    """The task type ``probe``, known to the bench's engine."""
    made = Probe()
    bench.engine.registry = Registry([*bench.engine.registry, made])
    return made


def events(bench: Bench, task_id: UUID) -> list[str]:
    """Types of a task's events, without their common beginning."""
    page = PageRequest(limit=500)
    return [
        item["type"].removeprefix("task.") for item in query.events(bench.engine, bench.caller, task_id, page).items
    ]


def take(bench: Bench, *ids: UUID) -> list[Claimed]:
    """Claim tasks and leave them running."""
    return claim(bench.engine, [(task_id, bench.next_attempt(task_id)) for task_id in ids], "tester")[0]


def last_error(bench: Bench, task_id: UUID) -> dict[str, Any]:
    """What the task shows as its last error."""
    error = bench.task(task_id)["last_error"]
    assert error is not None
    return dict(error)


def in_state(bench: Bench, status: str, **spec: Any) -> UUID:
    """A task that stands in a state."""
    if status == "skipped":
        upstream = in_state(bench, "failed")
        return bench.submit({"depends_on": [str(upstream)]} | spec)[0]
    (task_id,) = bench.submit(_SPECS.get(status, {}) | spec)
    if status == "running":
        take(bench, task_id)
    elif status in {"retrying", "completed", "failed"}:
        bench.work(task_id)
    elif status == "paused":
        control.pause(bench.engine, bench.caller, task_id)
    elif status == "cancelled":
        cancel.cancel(bench.engine, bench.caller, task_id, "because")
    assert bench.task(task_id)["status"] == status
    return task_id


_SPECS: dict[str, dict[str, Any]] = {
    "pending": {"execution_type": "manual"},
    "deferred": {"scheduled_for": LATER},
    "retrying": {"config": {"fail_times": 1}, "retry": {"strategy": "fixed", "delay_seconds": 3600}},
    "failed": {"config": {"fail_times": 1}, "max_retries": 0},
}
STATES = (
    "pending", "deferred", "queued", "running", "retrying", "paused", "completed", "failed", "cancelled", "skipped",
)  # fmt: skip
