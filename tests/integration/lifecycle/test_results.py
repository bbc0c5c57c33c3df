"""What handlers return, raise, log and write: all of it ends as a recorded attempt."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import ErrorInfo, PermanentError, TransientError
from taskengine.domain.outcome import Cancelled, Failed, Outcome, Succeeded, TimedOut
from taskengine.handlers.base import Context
from taskengine.handlers.registry import Registry
from taskengine.lifecycle import query
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import PAGE, Probe, ProbeConfig, last_error

Does = Callable[[Context, ProbeConfig], Outcome]


def work(bench: Bench, probe: Probe, does: Does, **spec: Any) -> tuple[UUID, UUID]:
    """Run one probe task; its id and its attempt's."""
    probe.does = does
    (task_id,) = bench.submit({"type": "probe", "config": {}, "max_retries": 0} | spec)
    assert bench.work(task_id) == 1
    (execution,) = query.executions(bench.engine, bench.caller, task_id, PAGE).items
    return task_id, execution["id"]


def logs(bench: Bench, execution_id: UUID) -> list[dict[str, Any]]:
    return query.logs(bench.engine, bench.caller, execution_id, PAGE).items


def steps(bench: Bench, execution_id: UUID) -> list[dict[str, Any]]:
    return query.steps(bench.engine, bench.caller, execution_id, PAGE).items


def raising(fault: BaseException) -> Does:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        raise fault

    return does


def test_a_type_that_the_worker_does_not_know_is_tried_again(bench: Bench, probe: Probe) -> None:
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.engine.registry = Registry([])
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "retrying"
    assert last_error(bench, task_id)["code"] == "unknown_type"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (TransientError("busy", "later"), "retrying", "busy"),
        (PermanentError("gone", "never"), "failed", "gone"),
        (ValueError("a bug"), "retrying", "exception"),
        (RecursionError("deep"), "retrying", "exception"),
        (SystemExit(3), "retrying", "exception"),
    ],
)
def test_what_is_raised_decides(bench: Bench, probe: Probe, fault: BaseException, status: str, code: str) -> None:
    task_id, _ = work(bench, probe, raising(fault), max_retries=3)
    assert bench.task(task_id)["status"] == status
    assert last_error(bench, task_id)["code"] == code


def test_a_crash_leaves_its_traceback(bench: Bench, probe: Probe) -> None:
    task_id, _ = work(bench, probe, raising(ValueError("a bug\0")))
    error = last_error(bench, task_id)
    assert error["message"] == "ValueError: a bug\ufffd"
    assert "in does" in error["details"]["traceback"]


@pytest.mark.parametrize(
    ("outcome", "status", "execution", "code"),
    [
        (Failed(ErrorInfo("x", "y"), transient=False), "failed", "failed", "x"),
        (Failed(ErrorInfo("x", "y"), transient=True, retry_after_seconds=50), "retrying", "failed", "x"),
        (TimedOut(ErrorInfo("slow", "y")), "retrying", "timed_out", "slow"),
        (Cancelled("changed my mind"), "cancelled", "cancelled", "cancelled"),
        (None, "failed", "failed", "no_outcome"),
        ({"value": 1}, "failed", "failed", "no_outcome"),
    ],
)
def test_what_is_returned_decides(
    bench: Bench, probe: Probe, outcome: Any, status: str, execution: str, code: str
) -> None:
    task_id, execution_id = work(bench, probe, lambda ctx, config: outcome, max_retries=3)
    assert bench.task(task_id)["status"] == status
    assert query.execution(bench.engine, bench.caller, execution_id)["status"] == execution
    assert last_error(bench, task_id)["code"] == code


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        (None, None),
        (0, 0),
        ("ü\u2028", "ü\u2028"),
        ([1, {"a": [None, True]}], [1, {"a": [None, True]}]),
        (Point(3), {"x": 3}),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, {"at": "2030-01-01T00:00:00+00:00"}),
        ({"text": "a \\u0000 that is only text"}, {"text": "a \\u0000 that is only text"}),
        (2**64 - 1, 2**64 - 1),
    ],
)
def test_results_come_back_as_they_were(bench: Bench, probe: Probe, result: Any, stored: Any) -> None:
    task_id, _ = work(bench, probe, lambda ctx, config: Succeeded(result))
    task = bench.task(task_id)
    assert (task["status"], task["result"]) == ("completed", stored)


@pytest.mark.parametrize("result", [object(), {1, 2}, {"a": b"x"}, 2**70, "\ud800", {"\udfff": 1}, ["a\0b"], {"\0": 1}])
def test_a_result_that_is_no_json_fails_for_good(bench: Bench, probe: Probe, result: Any) -> None:
    task_id, _ = work(bench, probe, lambda ctx, config: Succeeded(result), max_retries=3)
    assert bench.task(task_id)["status"] == "failed"
    assert last_error(bench, task_id)["code"] == "result_not_json"


def test_a_result_nested_beyond_json_fails_for_good(bench: Bench, probe: Probe) -> None:
    loop: list[Any] = []
    loop.append(loop)
    task_id, _ = work(bench, probe, lambda ctx, config: Succeeded(loop))
    assert last_error(bench, task_id)["code"] == "result_not_json"


def test_a_result_over_the_limit_fails_for_good(bench: Bench, probe: Probe) -> None:
    task_id, _ = work(bench, probe, lambda ctx, config: Succeeded("x" * 2**20))
    assert last_error(bench, task_id)["code"] == "result_too_large"
    assert str(2**20) in last_error(bench, task_id)["message"]


def test_one_bad_result_does_not_spoil_its_pack(bench: Bench, probe: Probe) -> None:
    results = iter(["fine", "a\0b", object(), "fine"])
    probe.does = lambda ctx, config: Succeeded(next(results))
    ids = bench.submit(*({"type": "probe", "config": {}} for _ in range(4)))
    assert bench.work(*ids) == 4
    assert bench.statuses(ids) == ["completed", "failed", "failed", "completed"]


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}


def test_a_result_must_meet_its_output_schema(bench: Bench, probe: Probe) -> None:
    good, _ = work(bench, probe, lambda ctx, config: Succeeded({"n": 9}), output_schema=SCHEMA)
    bad, _ = work(bench, probe, lambda ctx, config: Succeeded({"n": 10}), output_schema=SCHEMA)
    times = {"type": "object", "properties": {"at": {"type": "string"}}}
    plain, _ = work(
        bench, probe, lambda ctx, config: Succeeded({"at": datetime(2030, 1, 1, tzinfo=UTC)}), output_schema=times
    )
    assert bench.statuses([good, bad, plain]) == ["completed", "failed", "completed"]
    error = last_error(bench, bad)
    assert error["code"] == "invalid_output"
    assert error["details"]["errors"][0]["loc"] == ["n"]


NASTY: list[Any] = ["\0", "\ud800", 2**70, float("nan"), {1, 2}, object(), {"k\0": b"\xff"}, sys]


@pytest.mark.parametrize("nasty", NASTY, ids=[str(number) for number in range(len(NASTY))])
def test_whatever_is_written_on_the_way_is_stored(bench: Bench, probe: Probe, nasty: Any) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        text = nasty if isinstance(nasty, str) else "x"
        ctx.log(f"line {text}", level="warning", field=nasty)
        ctx.progress(5.0, f"half {text}")
        with ctx.step(f"step {text}", type=f"type {text}") as step:
            step.result(nasty)
        ctx.artifact(f"name {text}", b"data", f"text/{text}")
        with ctx.step("second"):
            raise PermanentError(f"code {text}", f"message {text}", {"detail": nasty})

    task_id, execution_id = work(bench, probe, does)
    assert bench.task(task_id)["status"] == "failed"
    assert logs(bench, execution_id)[0]["message"].startswith("line ")
    assert [step["status"] for step in steps(bench, execution_id)] == ["succeeded", "failed"]
    assert last_error(bench, task_id)["message"].startswith("message ")
    assert query.execution(bench.engine, bench.caller, execution_id)["progress"]["fraction"] == 1.0


def test_steps_record_their_errors_and_results(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        with ctx.step("one", type="http") as step:
            step.result({"n": 1})
        with ctx.step("two"):
            raise KeyError("missing")

    _, execution_id = work(bench, probe, does)
    one, two = steps(bench, execution_id)
    assert (one["name"], one["type"], one["result"], one["error"]) == ("one", "http", {"n": 1}, None)
    assert one["started_at"] <= one["ended_at"]
    assert (two["status"], two["error"]["message"]) == ("failed", "KeyError: 'missing'")


def test_long_logs_are_cut_and_say_so(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        for number in range(50_010):
            ctx.log(str(number))
        return Succeeded(None)

    work(bench, probe, does)
    (counted,) = bench.sql("SELECT count(*) AS n, max(sequence) AS last FROM execution_logs")
    assert (counted.n, counted.last) == (50_000, 50_000)
    (line,) = bench.sql("SELECT message FROM execution_logs WHERE sequence = 50000")
    assert "limit" in line.message


def test_a_long_line_is_cut(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        ctx.log("x" * 100_000)
        return Succeeded(None)

    _, execution_id = work(bench, probe, does)
    assert len(logs(bench, execution_id)[0]["message"]) == 20_000


def test_lines_can_be_followed_while_the_attempt_runs(bench: Bench, probe: Probe) -> None:
    seen: list[int] = []

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        for number in range(500):
            ctx.log(str(number))
        seen.append(len(query.logs(bench.engine, bench.caller, ctx.execution_id, PAGE).items))
        return Succeeded(None)

    work(bench, probe, does)
    assert seen == [PAGE.limit]


def test_artifacts_are_stored_listed_and_read(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        ref = ctx.artifact("report.txt", b"hello", "text/plain")
        return Succeeded({"id": str(ref.id), "size": ref.size_bytes})

    task_id, _ = work(bench, probe, does)
    result = bench.task(task_id)["result"]
    (listed,) = query.artifacts(bench.engine, bench.caller, task_id, PAGE).items
    assert (str(listed["id"]), listed["name"], listed["size_bytes"]) == (result["id"], "report.txt", 5)
    record, path = query.artifact(bench.engine, bench.caller, UUID(result["id"]))
    assert record == listed
    assert path.read_bytes() == b"hello"


def test_a_disk_that_refuses_a_file_fails_the_attempt_for_good(bench: Bench, probe: Probe) -> None:
    (bench.engine.settings.home / "artifacts").write_text("a file where a folder should be")
    task_id, _ = work(bench, probe, lambda ctx, config: Succeeded(ctx.artifact("a", b"", "text/plain")))
    assert last_error(bench, task_id)["code"] == "artifact_not_stored"


def test_the_context_tells_the_attempt_and_a_stable_key(bench: Bench, probe: Probe) -> None:
    keys: list[str] = []

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        keys.append(ctx.idempotency_key)
        raise TransientError("again", f"attempt {ctx.attempt}")

    task_id, _ = work(bench, probe, does, max_retries=3)
    bench.sql("UPDATE tasks SET status = 'queued', run_at = NULL")
    bench.sql(
        "INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, enqueued_at)"
        " SELECT id, organization_id, queue, 2, 0, 2, false, now() FROM tasks"
    )
    bench.work(task_id)
    assert last_error(bench, task_id)["message"] == "attempt 2"
    assert keys == [str(task_id)] * 2


def test_the_guarded_http_client_is_one_for_the_attempt(bench: Bench, probe: Probe) -> None:
    task_id, _ = work(bench, probe, lambda ctx, config: Succeeded(ctx.http() is ctx.http()))
    assert bench.task(task_id)["result"] is True
