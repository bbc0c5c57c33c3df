"""Races that a reading of the statements found: what one transaction's snapshot cannot show, another statement must."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import InternalError

from config.settings import QUEUES
from taskengine.domain.errors import Conflict, Unavailable
from taskengine.lifecycle import cancel, control, dead_letters, edit, recover
from taskengine.store import transitions
from tests.conftest import Bench

SOON = {"scheduled_for": "2100-01-01T00:00:00Z", "expires_at": "2100-01-02T00:00:00Z"}


def outbox(bench: Bench) -> list[UUID]:
    """The tasks that have a place in line."""
    return [row.task_id for row in bench.sql("SELECT task_id FROM outbox ORDER BY task_id")]


def test_a_task_that_is_queued_while_it_is_cancelled_leaves_no_place_in_line(bench: Bench) -> None:
    (task_id,) = bench.submit(SOON)
    bench.sql("UPDATE tasks SET expires_at = now() - interval '1 s' WHERE id = :id", id=task_id)
    queued, go_on = threading.Event(), threading.Event()

    def queue() -> None:
        with bench.engine.db.begin() as conn:
            transitions.move(conn, "triggered", [task_id])
            queued.set()
            assert go_on.wait(10)

    other = threading.Thread(target=queue)
    other.start()
    assert queued.wait(10)
    expiring = threading.Thread(target=lambda: _expire(bench, task_id))
    expiring.start()
    _until_blocked(bench)
    go_on.set()
    other.join(10)
    expiring.join(10)
    assert bench.task(task_id)["status"] == "cancelled"
    assert outbox(bench) == []


def _expire(bench: Bench, task_id: UUID) -> None:
    with bench.engine.db.begin() as conn:
        transitions.move(conn, "expired", [task_id], data={})


def _until_blocked(bench: Bench) -> None:
    for _ in range(500):
        if bench.sql("SELECT FROM pg_locks WHERE NOT granted"):
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits for a lock")


def test_a_place_in_line_is_renewed_by_whoever_queues_the_task_again(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 9}, "max_retries": 0})
    bench.work(task_id)
    bench.sql(
        "INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, expires_at,"
        " enqueued_at, published_at) SELECT id, organization_id, queue, 2, 0, 1, true, now() - interval '1 h', now(),"
        " now() FROM tasks WHERE id = :id",
        id=task_id,
    )
    control.retry(bench.engine, bench.caller, task_id)
    [row] = bench.sql("SELECT attempt, expires_at FROM outbox")
    assert (row.attempt, row.expires_at) == (2, None)


def test_redriving_and_retrying_at_once_do_not_deadlock(bench: Bench) -> None:
    ids = bench.submit(*({"config": {"fail_times": 9}, "max_retries": 0} for _ in range(20)))
    bench.work(*ids)
    faults: list[Exception] = []

    def retry_all() -> None:
        for task_id in ids:
            try:
                control.retry(bench.engine, bench.caller, task_id)
            except Conflict:
                pass
            except Exception as error:
                faults.append(error)

    thread = threading.Thread(target=retry_all)
    thread.start()
    while thread.is_alive():
        dead_letters.redrive(bench.engine, bench.caller, limit=3)
    thread.join(10)
    assert faults == []
    assert bench.sql("SELECT count(*) AS n FROM dead_letters WHERE redriven_at IS NULL")[0].n == 0


def test_a_read_only_server_is_an_outage_and_ends_no_thread(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable), bench.engine.db.begin() as conn:
        conn.exec_driver_sql("SET TRANSACTION READ ONLY")
        conn.exec_driver_sql("DELETE FROM outbox")

    def fault(*_: Any) -> None:
        raise InternalError("statement", {}, Exception("no outage, no engine error"))

    (task_id,) = bench.submit({"config": {"sleep_seconds": 1}})
    monkeypatch.setattr(bench.watch, "_look", fault)
    assert bench.work(task_id) == 1
    assert bench.watch._thread.is_alive()


def test_errors_of_the_database_hold_no_values(bench: Bench) -> None:
    with pytest.raises(Exception, match="duplicate key") as caught:
        for _ in range(2):
            bench.sql("INSERT INTO queues (name, paused, draining) VALUES (:name, false, false)", name="sesame")
    assert "parameters" in str(caught.value)
    assert "'name': 'sesame'" not in str(caught.value)


def test_unanswered_canaries_do_not_pile_up(bench: Bench) -> None:
    for _ in range(3):
        bench.sql("DELETE FROM leaders")
        recover.send_canaries(bench.engine, "tester")
    assert [bench.engine.publisher.waiting(name) for name in QUEUES] == [1] * len(QUEUES)


def test_a_taken_canary_lets_the_line_move(bench: Bench) -> None:
    recover.send_canaries(bench.engine, "tester")
    bench.submit({}, {})
    assert bench.sql("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")[0].n == 2
    bench.engine.redis.delete("integration")
    recover.canary_back(bench.engine, "integration")
    assert bench.sql("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")[0].n == 0


def test_a_cancelled_task_whose_upstream_is_open_waits_again_when_retried(bench: Bench) -> None:
    first, second = bench.submit({"key": "a"}, {"key": "b", "depends_on": ["a"]})
    cancel.cancel(bench.engine, bench.caller, second, None)
    assert control.retry(bench.engine, bench.caller, second)["status"] == "pending"
    bench.work(first)
    assert bench.task(second)["status"] == "queued"


def test_a_task_whose_upstream_is_gone_can_be_retried(bench: Bench) -> None:
    first, second = bench.submit({"key": "a"}, {"key": "b", "depends_on": ["a"]})
    cancel.cancel(bench.engine, bench.caller, second, None)
    edit.delete(bench.engine, bench.caller, first)
    assert control.retry(bench.engine, bench.caller, second)["status"] == "queued"


def test_a_task_retried_for_later_stays_deferred_over_a_pause(bench: Bench) -> None:
    (task_id,) = bench.submit(SOON)
    cancel.cancel(bench.engine, bench.caller, task_id, None)
    assert control.retry(bench.engine, bench.caller, task_id)["status"] == "deferred"
    control.pause(bench.engine, bench.caller, task_id)
    assert control.resume(bench.engine, bench.caller, task_id)["status"] == "deferred"
