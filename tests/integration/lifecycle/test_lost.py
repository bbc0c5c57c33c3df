"""Attempts whose worker fell silent, and results that come too late."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

from taskengine.lifecycle import cancel, recover, scratch
from taskengine.lifecycle.claim import Claimed
from taskengine.lifecycle.consume import give_up
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import run
from taskengine.lifecycle.watch import Attempt
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import events, in_state, last_error, take


def fall_silent(bench: Bench) -> None:
    bench.sql("UPDATE executions SET lease_until = now() - interval '1 second' WHERE status = 'running'")


def attempts(bench: Bench, task_id: UUID) -> list[str]:
    rows = bench.sql("SELECT status FROM executions WHERE task_id = :id ORDER BY attempt", id=task_id)
    return [row.status for row in rows]


def finish_late(bench: Bench, claimed: list[Claimed]) -> int:
    return finish(bench.engine, [run(bench.engine, bench.watch, item) for item in claimed])


def test_a_lease_that_holds_is_left_alone(bench: Bench) -> None:
    task_id = in_state(bench, "running")
    assert recover.give_up_lost(bench.engine) == 0
    assert bench.task(task_id)["status"] == "running"


def test_a_lost_attempt_is_followed_by_another(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    take(bench, task_id)
    fall_silent(bench)
    assert recover.give_up_lost(bench.engine) == 1
    task = bench.task(task_id)
    assert (task["status"], task["error_count"], task["last_error"]["code"]) == ("queued", 0, "worker_lost")
    assert bench.work(task_id) == 1
    assert attempts(bench, task_id) == ["lost", "succeeded"]
    assert events(bench, task_id) == ["created", "claimed", "lost", "claimed", "completed"]


def test_a_lost_attempt_leaves_no_folder(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    (claimed,) = take(bench, task_id)
    folder = scratch.make(bench.engine.settings.home, claimed.execution_id)
    (folder / "download").write_bytes(b"x")
    fall_silent(bench)
    recover.give_up_lost(bench.engine)
    assert not folder.exists()


def test_folders_that_nothing_was_done_in_for_a_day_are_swept(bench: Bench) -> None:
    home = bench.engine.settings.home
    old, fresh = scratch.make(home, uuid4()), scratch.make(home, uuid4())
    os.utime(old, (0, 0))
    scratch.sweep(home)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_late_result_is_refused(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"message": "late", "log_lines": 2}})
    claimed = take(bench, task_id)
    fall_silent(bench)
    recover.give_up_lost(bench.engine)
    assert finish_late(bench, claimed) == 0
    assert bench.task(task_id)["status"] == "queued"
    assert bench.work(task_id) == 1
    assert finish_late(bench, claimed) == 0
    assert bench.task(task_id)["attempt"] == 2
    assert events(bench, task_id).count("completed") == 1


def test_a_result_is_recorded_once_even_if_it_is_sent_twice(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"log_lines": 3}})
    ended = [run(bench.engine, bench.watch, item) for item in take(bench, task_id)]
    assert finish(bench.engine, ended) == 1
    assert finish(bench.engine, ended) == 0
    assert bench.sql("SELECT count(*) AS n FROM execution_logs")[0].n == 3


def test_a_result_of_an_attempt_that_the_record_forgot_is_refused(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"log_lines": 3}})
    ended = [run(bench.engine, bench.watch, item) for item in take(bench, task_id)]
    bench.sql("DELETE FROM executions")
    assert finish(bench.engine, ended) == 0


def test_a_task_that_keeps_losing_its_worker_fails(bench: Bench) -> None:
    task_id, behind = bench.submit({"key": "a"}, {"depends_on": ["a"]})
    for _ in range(bench.engine.settings.lost_limit):
        assert bench.task(task_id)["status"] == "queued"
        take(bench, task_id)
        fall_silent(bench)
        recover.give_up_lost(bench.engine)
    assert bench.statuses([task_id, behind]) == ["failed", "skipped"]
    assert attempts(bench, task_id) == ["lost"] * 3
    (letter,) = bench.sql("SELECT code, attempts FROM dead_letters")
    assert (letter.code, letter.attempts) == ("worker_lost", 3)


def test_a_lost_attempt_that_was_to_be_cancelled_ends_cancelled(bench: Bench) -> None:
    task_id, behind = bench.submit({"key": "a"}, {"depends_on": ["a"]})
    take(bench, task_id)
    cancel.cancel(bench.engine, bench.caller, task_id, "enough")
    fall_silent(bench)
    recover.give_up_lost(bench.engine)
    assert bench.statuses([task_id, behind]) == ["cancelled", "skipped"]
    assert bench.task(task_id)["cancel_reason"] == "enough"
    assert bench.sql("SELECT FROM outbox") == []


def test_after_a_loss_the_tasks_of_a_pack_travel_alone(bench: Bench) -> None:
    ids = bench.submit(*({} for _ in range(5)))
    assert all(row.light for row in bench.sql("SELECT light FROM outbox"))
    take(bench, *ids)
    fall_silent(bench)
    recover.give_up_lost(bench.engine)
    assert not any(row.light for row in bench.sql("SELECT light FROM outbox"))


def test_an_attempt_that_would_not_stop_is_recorded_and_its_pack_is_freed(bench: Bench) -> None:
    ids = bench.submit({"timeout_seconds": 7}, {}, {}, {"config": {"fail_times": 9}})
    claimed = take(bench, *ids)
    stuck = Attempt(claimed[0], deadline=0)
    stuck.ask_to_stop("timed_out", "too long")
    give_up(bench.engine, stuck, claimed)
    assert last_error(bench, ids[0])["details"] == {"timeout_seconds": 7}
    assert recover.give_up_lost(bench.engine) == 3
    assert bench.statuses(ids) == ["retrying", "queued", "queued", "queued"]


def test_an_attempt_that_would_not_stop_after_its_loss_is_not_recorded(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    claimed = take(bench, task_id)
    stuck = Attempt(claimed[0], deadline=0)
    stuck.ask_to_stop("lost", "gone")
    stuck.ask_to_stop("cancelled", "too late: the first cause counts")
    give_up(bench.engine, stuck, claimed)
    assert bench.task(task_id)["status"] == "running"
