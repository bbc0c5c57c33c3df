"""Postgres goes away between two statements: what is held already is still done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from taskengine.lifecycle.claim import claim
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended, run
from tests.conftest import Bench

ALONE = {"config": {"sleep_seconds": 0.01}}
"""Travels in a message of its own."""


@contextmanager
def failing(bench: Bench, part: str, times: int = 1) -> Iterator[list[str]]:
    """Let the next statements that hold this text fail as they do when the connection is cut; what failed."""
    failed: list[str] = []

    def cut(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if part in statement and len(failed) < times:
            failed.append(statement)
            raise OperationalError(statement, {}, Exception("server closed the connection unexpectedly"))

    event.listen(bench.engine.db.sqlalchemy, "before_cursor_execute", cut)
    try:
        yield failed
    finally:
        event.remove(bench.engine.db.sqlalchemy, "before_cursor_execute", cut)


def test_a_claimed_task_runs_although_the_line_cannot_be_served(bench: Bench) -> None:
    first, *_ = bench.submit(*([ALONE] * 12))
    bench.engine.redis.flushall()  # as if workers had taken the messages that are out
    with failing(bench, "organizations_in_line") as failed:
        assert bench.work(first) == 1
    assert len(failed) == 1
    assert bench.task(first)["status"] == "completed"


def test_a_result_is_written_as_soon_as_the_record_is_back(bench: Bench) -> None:
    (task_id,) = bench.submit(ALONE)
    with failing(bench, "json_to_recordset", times=3) as failed:
        assert bench.work(task_id) == 1
    assert len(failed) == 3
    assert bench.task(task_id)["status"] == "completed"


def test_a_heartbeat_that_fails_does_not_end_the_watch(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"sleep_seconds": 3}})
    with failing(bench, "SET lease_until", times=1) as failed:
        assert bench.work(task_id) == 1
    assert len(failed) == 1
    assert bench.task(task_id)["status"] == "completed"
    assert bench.sql("SELECT count(*) AS n FROM executions WHERE status = 'lost'")[0].n == 0


def _run(bench: Bench) -> Ended:
    """An attempt that has run and left a log line, not recorded yet."""
    (task_id,) = bench.submit({"config": {"message": 1, "log_lines": 2}})
    (claimed,), _ = claim(bench.engine, [(task_id, 1)], "tester")
    return run(bench.engine, bench.watch, claimed)


def test_an_end_that_is_written_twice_is_recorded_once(bench: Bench) -> None:
    ended = _run(bench)
    assert finish(bench.engine, [ended]) == 1
    assert finish(bench.engine, [ended]) == 0
    assert bench.task(ended.claimed.task_id)["status"] == "completed"
    assert bench.sql("SELECT count(*) AS n FROM execution_logs")[0].n == 2


def test_an_end_whose_claim_the_record_forgot_is_refused(bench: Bench) -> None:
    ended = _run(bench)
    bench.sql("DELETE FROM executions")
    assert finish(bench.engine, [ended]) == 0
    assert bench.sql("SELECT count(*) AS n FROM execution_logs")[0].n == 0
