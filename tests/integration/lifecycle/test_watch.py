"""Stopping attempts: cancelled, out of time, or lost; leases that are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

from taskengine.domain.errors import Unavailable
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context
from taskengine.lifecycle import cancel, query
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import PAGE, Probe, ProbeConfig, last_error


def until(true: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.02)


def begin(bench: Bench, **spec: object) -> tuple[UUID, threading.Thread]:
    """Submit a probe task and work on it in a thread."""
    (task_id,) = bench.submit({"type": "probe", "config": {}, "max_retries": 0} | spec)
    thread = threading.Thread(target=bench.work, args=[task_id])
    thread.start()
    until(lambda: bench.task(task_id)["status"] == "running")
    return task_id, thread


def wait_to_be_stopped(ctx: Context, config: ProbeConfig) -> Outcome:
    stopped = ctx.wait(30)
    return Succeeded({"stopped": stopped and ctx.cancelled()}) if config.value == "succeed" else _never(ctx)


def _never(ctx: Context) -> Outcome:
    raise RuntimeError("interrupted")


def execution_status(bench: Bench, task_id: UUID) -> str:
    return str(query.executions(bench.engine, bench.caller, task_id, PAGE).items[0]["status"])


def test_a_cancelled_handler_is_told_and_its_task_ends_cancelled(bench: Bench, probe: Probe) -> None:
    probe.does = wait_to_be_stopped
    task_id, thread = begin(bench)
    cancel.cancel(bench.engine, bench.caller, task_id, "enough")
    thread.join(10)
    assert bench.task(task_id)["status"] == "cancelled"
    assert last_error(bench, task_id)["message"] == "enough"
    assert execution_status(bench, task_id) == "cancelled"
    assert bench.stuck == []


def test_a_handler_that_finishes_its_work_although_cancelled_has_done_it(bench: Bench, probe: Probe) -> None:
    probe.does = wait_to_be_stopped
    task_id, thread = begin(bench, config={"value": "succeed"})
    cancel.cancel(bench.engine, bench.caller, task_id, None)
    thread.join(10)
    assert (bench.task(task_id)["status"], bench.task(task_id)["result"]) == ("completed", {"stopped": True})


def test_a_handler_over_its_time_is_told_and_its_task_times_out(bench: Bench, probe: Probe) -> None:
    probe.does = wait_to_be_stopped
    task_id, thread = begin(bench, timeout_seconds=0.3)
    thread.join(10)
    assert last_error(bench, task_id)["code"] == "timeout"
    assert execution_status(bench, task_id) == "timed_out"


def test_a_handler_that_does_not_stop_is_reported(bench: Bench, probe: Probe) -> None:
    release = threading.Event()

    def stubborn(ctx: Context, config: ProbeConfig) -> Outcome:
        release.wait(30)
        return Succeeded(None)

    probe.does = stubborn
    task_id, thread = begin(bench, timeout_seconds=0.2)
    until(lambda: bench.stuck)
    release.set()
    thread.join(10)
    attempt, held = bench.stuck[0]
    assert (attempt.claimed.task_id, attempt.cause) == (task_id, "timed_out")
    assert [item.task_id for item in held] == [task_id]


def test_the_lease_is_kept_while_a_handler_runs(bench: Bench, probe: Probe) -> None:
    release = threading.Event()
    probe.does = lambda ctx, config: (release.wait(30), Succeeded(None))[1]
    task_id, thread = begin(bench)
    (first,) = bench.sql("SELECT lease_until FROM executions")
    until(lambda: bench.sql("SELECT lease_until FROM executions")[0].lease_until > first.lease_until)
    release.set()
    thread.join(10)
    assert bench.task(task_id)["status"] == "completed"


def test_a_handler_whose_lease_was_lost_is_told_and_records_nothing(bench: Bench, probe: Probe) -> None:
    probe.does = wait_to_be_stopped
    task_id, thread = begin(bench)
    bench.sql("UPDATE executions SET status = 'lost', ended_at = now(), lease_until = NULL")
    bench.sql("UPDATE tasks SET status = 'pending'")
    thread.join(10)
    assert not thread.is_alive()
    assert bench.task(task_id)["status"] == "pending"


def test_the_watch_outlives_a_record_that_is_away(bench: Bench, probe: Probe) -> None:
    probe.does = wait_to_be_stopped
    task_id, thread = begin(bench)
    bench.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
              " AND pid <> pg_backend_pid()")  # fmt: skip
    until(lambda: _cancelled(bench, task_id))
    thread.join(10)
    assert bench.task(task_id)["status"] == "cancelled"


def _cancelled(bench: Bench, task_id: UUID) -> bool:
    try:
        cancel.cancel(bench.engine, bench.caller, task_id, "enough")
    except Unavailable:
        return False
    return True
