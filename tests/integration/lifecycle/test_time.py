"""Scheduled tasks, retries that are due, and tasks that expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from taskengine.domain.errors import Invalid, RateLimited, TransientError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context
from taskengine.lifecycle import control, recover
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, Probe, ProbeConfig, events, in_state, last_error


def let_pass(bench: Bench, task_id: UUID, column: str) -> None:
    """Bend the record so that a time of the task has passed."""
    bench.sql(f"UPDATE tasks SET {column} = now() - interval '1 second' WHERE id = :id", id=task_id)
    if column == "expires_at":
        bench.sql("UPDATE outbox SET expires_at = now() - interval '1 second' WHERE task_id = :id", id=task_id)


def soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def seconds_until_run(bench: Bench, task_id: UUID) -> float:
    (row,) = bench.sql("SELECT extract(epoch FROM run_at - updated_at) AS s FROM tasks WHERE id = :id", id=task_id)
    return float(row.s)


def test_a_scheduled_task_is_released_when_its_time_has_come(bench: Bench) -> None:
    (task_id,) = bench.submit({"scheduled_for": soon(), "execution_type": "scheduled"})
    assert bench.task(task_id)["status"] == "deferred"
    assert recover.release_due(bench.engine) == 0
    let_pass(bench, task_id, "run_at")
    assert recover.release_due(bench.engine) == 1
    assert bench.task(task_id)["status"] == "queued"
    assert bench.task(task_id)["run_at"] is None
    bench.work(task_id)
    assert events(bench, task_id) == ["created", "queued", "claimed", "completed"]


def test_a_time_that_has_passed_is_no_reason_to_wait(bench: Bench) -> None:
    (task_id,) = bench.submit({"scheduled_for": "2001-01-01T00:00:00Z"})
    assert bench.task(task_id)["status"] == "queued"


def test_a_scheduled_task_needs_its_time(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"execution_type": "scheduled"})
    assert caught.value.errors[0].loc == (0, "scheduled_for")


def test_thousands_of_due_tasks_are_released_in_one_round(bench: Bench) -> None:
    bench.submit(*({"scheduled_for": LATER} for _ in range(2500)))
    bench.sql("UPDATE tasks SET run_at = now()")
    assert recover.release_due(bench.engine) == 2500
    assert bench.sql("SELECT count(*) AS n FROM outbox")[0].n == 2500


def test_a_due_retry_runs_as_the_next_attempt(bench: Bench) -> None:
    task_id = in_state(bench, "retrying")
    let_pass(bench, task_id, "run_at")
    assert recover.release_due(bench.engine) == 1
    bench.work(task_id)
    task = bench.task(task_id)
    assert (task["status"], task["attempt"], task["error_count"]) == ("completed", 2, 1)
    assert events(bench, task_id) == [
        "created", "claimed", "retry_scheduled", "queued", "claimed", "completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        ({"strategy": "exponential", "delay_seconds": 100, "jitter": False}, (100, 100)),
        ({"strategy": "fixed", "delay_seconds": 100}, (50, 100)),
        ({"strategy": "list", "delays": [7, 8], "jitter": False}, (7, 7)),
    ],
)
def test_the_retry_policy_sets_the_time(bench: Bench, retry: dict[str, object], expected: tuple[float, float]) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 1}, "retry": retry})
    bench.work(task_id)
    assert expected[0] <= seconds_until_run(bench, task_id) <= expected[1]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (RateLimited(120), 120),
        (TransientError("busy", "later", retry_after_seconds=90), 90),
        (RateLimited(1e300), 30 * 86400),
        (RateLimited(float("nan")), 5),
    ],
)
def test_retry_after_is_honoured_within_reason(bench: Bench, probe: Probe, fault: Exception, expected: float) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        raise fault

    probe.does = does
    (task_id,) = bench.submit({"type": "probe", "config": {}, "retry": {"delay_seconds": 5, "jitter": False}})
    assert bench.work(task_id) == 1
    assert seconds_until_run(bench, task_id) == pytest.approx(expected)


@pytest.mark.parametrize("status", ["pending", "deferred", "queued", "paused"])
def test_what_has_not_started_by_its_time_is_cancelled(bench: Bench, status: str) -> None:
    task_id = in_state(bench, status, key="a", expires_at=soon())
    (behind,) = bench.submit({"depends_on": [str(task_id)]})
    assert recover.cancel_expired(bench.engine) == 0
    let_pass(bench, task_id, "expires_at")
    assert recover.cancel_expired(bench.engine) == 1
    assert bench.task(task_id)["status"] == "cancelled"
    assert last_error(bench, task_id)["code"] == "expired"
    assert bench.task(behind)["status"] == "skipped"
    assert events(bench, task_id)[-1] == "expired"
    assert bench.sql("SELECT FROM outbox") == []


def test_an_expired_task_is_not_claimed_by_a_message_on_the_way(bench: Bench) -> None:
    (task_id,) = bench.submit({"expires_at": soon()})
    let_pass(bench, task_id, "expires_at")
    assert bench.work(task_id) == 0
    assert bench.task(task_id)["status"] == "queued"
    recover.cancel_expired(bench.engine)
    assert bench.work(task_id) == 0
    assert bench.task(task_id)["status"] == "cancelled"


def test_what_has_started_does_not_expire(bench: Bench) -> None:
    running = in_state(bench, "running", expires_at=soon())
    retrying = in_state(bench, "retrying", expires_at=soon())
    for task_id in (running, retrying):
        let_pass(bench, task_id, "expires_at")
    assert recover.cancel_expired(bench.engine) == 0
    let_pass(bench, retrying, "run_at")
    recover.release_due(bench.engine)
    assert recover.cancel_expired(bench.engine) == 0
    assert bench.work(retrying) == 1
    assert bench.task(retrying)["status"] == "completed"


def test_an_expired_task_that_is_retried_runs(bench: Bench) -> None:
    (task_id,) = bench.submit({"expires_at": soon()})
    let_pass(bench, task_id, "expires_at")
    recover.cancel_expired(bench.engine)
    control.retry(bench.engine, bench.caller, task_id)
    assert recover.cancel_expired(bench.engine) == 0
    assert bench.work(task_id) == 1


def test_a_time_in_the_past_is_refused_as_expiry(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"expires_at": "2001-01-01T00:00:00Z"})
    assert caught.value.errors[0].type == "in_the_past"


def test_a_deadline_is_only_shown(bench: Bench, probe: Probe) -> None:
    probe.does = lambda ctx, config: Succeeded({"deadline": ctx.deadline.isoformat()})
    (task_id,) = bench.submit({"type": "probe", "config": {}, "deadline": "2001-01-01T00:00:00Z"})
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "completed"
