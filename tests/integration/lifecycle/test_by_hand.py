"""What people do to tasks: cancel, pause, resume, execute, retry, approve, reject, in every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskengine.domain.errors import Conflict, InvalidTransition, NotFound
from taskengine.domain.states import FINAL
from taskengine.lifecycle import cancel, control, recover, review
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import run
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, STATES, events, in_state, take

Verb = Callable[[Bench, UUID], dict[str, Any]]


def cancelled(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return cancel.cancel(bench.engine, bench.caller, task_id, "enough")


def executed(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return control.execute(bench.engine, bench.caller, task_id)


def retried(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return control.retry(bench.engine, bench.caller, task_id)


def paused(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return control.pause(bench.engine, bench.caller, task_id)


def resumed(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return control.resume(bench.engine, bench.caller, task_id)


def approved(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return review.approve(bench.engine, bench.caller, task_id, "fine")


def rejected(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return review.reject(bench.engine, bench.caller, task_id, "no")


def in_line(bench: Bench, task_id: UUID) -> bool:
    return bool(bench.sql("SELECT FROM outbox WHERE task_id = :id", id=task_id))


ALLOWED = [
    *((cancelled, status, "cancelled") for status in ("pending", "deferred", "queued", "retrying", "paused")),
    (cancelled, "running", "running"),
    *((executed, status, "queued") for status in ("pending", "deferred", "retrying")),
    *((retried, status, "queued") for status in ("failed", "cancelled")),
    *((paused, status, "paused") for status in ("pending", "deferred", "queued", "retrying")),
    (resumed, "paused", "queued"),
]


@pytest.mark.parametrize(("verb", "status", "then"), ALLOWED)
def test_allowed_moves_are_made(bench: Bench, verb: Verb, status: str, then: str) -> None:
    task_id = in_state(bench, status)
    assert verb(bench, task_id)["status"] == then
    assert in_line(bench, task_id) is (then == "queued")


@pytest.mark.parametrize("verb", [cancelled, executed, retried, paused, resumed])
def test_all_other_moves_are_refused_by_name(bench: Bench, verb: Verb) -> None:
    refused = set(STATES) - {status for other, status, _ in ALLOWED if other is verb} - {"skipped"}
    for status in sorted(refused):
        task_id = in_state(bench, status)
        before = bench.task(task_id)
        with pytest.raises(InvalidTransition) as caught:
            verb(bench, task_id)
        assert caught.value.extra["from"] == status
        assert isinstance(caught.value.extra["allowed"], list)
        assert bench.task(task_id) == before


@pytest.mark.parametrize("verb", [cancelled, executed, retried, paused, resumed, approved, rejected])
def test_what_is_not_there_is_not_found(bench: Bench, verb: Verb) -> None:
    with pytest.raises(NotFound):
        verb(bench, uuid4())


def test_a_cancelled_task_says_why_and_cannot_be_claimed(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    task = cancelled(bench, task_id)
    assert task["cancel_reason"] == "enough"
    assert task["completed_at"] is not None
    assert bench.work(task_id) == 0


def test_cancelling_a_running_task_asks_once(bench: Bench) -> None:
    task_id = in_state(bench, "running")
    assert cancelled(bench, task_id)["cancel_requested_at"] is not None
    cancel.cancel(bench.engine, bench.caller, task_id, "again")
    assert bench.task(task_id)["cancel_reason"] == "enough"
    assert events(bench, task_id) == ["created", "claimed", "cancel_requested"]


def test_a_failure_after_a_cancel_request_is_not_tried_again(bench: Bench) -> None:
    task_id, behind = bench.submit({"key": "a", "config": {"fail_times": 5}}, {"depends_on": ["a"]})
    claimed = take(bench, task_id)
    cancelled(bench, task_id)
    finish(bench.engine, [run(bench.engine, bench.watch, item) for item in claimed])
    assert bench.statuses([task_id, behind]) == ["cancelled", "skipped"]
    assert bench.task(task_id)["run_at"] is None
    assert events(bench, task_id)[-1] == "cancelled"


def test_a_success_after_a_cancel_request_stands(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    claimed = take(bench, task_id)
    ended = [run(bench.engine, bench.watch, item) for item in claimed]
    cancelled(bench, task_id)
    finish(bench.engine, ended)
    assert bench.task(task_id)["status"] == "completed"


@pytest.mark.parametrize("status", ["pending", "deferred", "queued", "retrying"])
def test_resumed_a_task_stands_where_it_stood(bench: Bench, status: str) -> None:
    task_id = in_state(bench, status)
    before = bench.task(task_id)
    paused(bench, task_id)
    assert not in_line(bench, task_id)
    after = resumed(bench, task_id)
    changing = {"updated_at", "queued_at"}
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }


@pytest.mark.parametrize("status", ["deferred", "retrying"])
def test_resumed_after_its_time_a_task_is_queued(bench: Bench, status: str) -> None:
    task_id = in_state(bench, status)
    paused(bench, task_id)
    bench.sql("UPDATE tasks SET run_at = now(), scheduled_for = now() WHERE id = :id", id=task_id)
    assert resumed(bench, task_id)["status"] == "queued"


def test_a_paused_task_is_not_released_by_the_tick(bench: Bench) -> None:
    task_id = in_state(bench, "deferred")
    paused(bench, task_id)
    bench.sql("UPDATE tasks SET run_at = now() WHERE id = :id", id=task_id)
    assert recover.release_due(bench.engine) == 0


def test_a_manual_task_waits_until_it_is_executed(bench: Bench) -> None:
    (task_id,) = bench.submit({"execution_type": "manual"})
    assert bench.task(task_id)["status"] == "pending"
    executed(bench, task_id)
    assert bench.work(task_id) == 1


def test_executed_before_its_upstream_ends_a_manual_task_runs_when_it_has(bench: Bench) -> None:
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a"], "execution_type": "manual"})
    assert executed(bench, b)["status"] == "pending"
    bench.work(a)
    assert bench.task(b)["status"] == "queued"
    assert events(bench, b) == ["created", "trigger_noted", "queued"]


def test_not_executed_a_manual_task_stays_pending_when_its_upstream_ends(bench: Bench) -> None:
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a"], "execution_type": "manual"})
    bench.work(a)
    assert bench.task(b)["status"] == "pending"
    assert executed(bench, b)["status"] == "queued"


def test_a_task_waits_for_its_review(bench: Bench) -> None:
    (task_id,) = bench.submit({"requires_human_review": True})
    assert bench.task(task_id)["status"] == "pending"
    assert executed(bench, task_id)["status"] == "pending"
    task = approved(bench, task_id)
    assert task["status"] == "queued"
    assert (task["review"]["decision"], task["review"]["notes"]) == ("approved", "fine")
    assert bench.work(task_id) == 1


def test_approved_a_task_may_still_wait_for_others_its_time_or_a_person(bench: Bench) -> None:
    _, behind, timed, manual = bench.submit(
        {"key": "a"},
        {"requires_human_review": True, "depends_on": ["a"]},
        {"requires_human_review": True, "scheduled_for": LATER},
        {"requires_human_review": True, "execution_type": "manual"},
    )
    assert [approved(bench, item)["status"] for item in (behind, timed, manual)] == ["pending", "deferred", "pending"]


def test_approved_and_triggered_beforehand_a_task_does_not_wait_for_its_time(bench: Bench) -> None:
    (task_id,) = bench.submit({"requires_human_review": True, "scheduled_for": LATER})
    executed(bench, task_id)
    assert approved(bench, task_id)["status"] == "queued"


def test_approved_while_paused_it_is_queued_by_resume(bench: Bench) -> None:
    (task_id,) = bench.submit({"requires_human_review": True})
    paused(bench, task_id)
    assert approved(bench, task_id)["status"] == "paused"
    assert resumed(bench, task_id)["status"] == "queued"


def test_a_rejected_task_is_cancelled_and_what_waits_is_skipped(bench: Bench) -> None:
    task_id, behind = bench.submit({"requires_human_review": True, "key": "a"}, {"depends_on": ["a"]})
    task = rejected(bench, task_id)
    assert (task["status"], task["cancel_reason"], task["review"]["decision"]) == ("cancelled", "no", "rejected")
    assert bench.task(behind)["status"] == "skipped"


def test_reviews_are_given_once_and_only_where_asked_for(bench: Bench) -> None:
    (plain,) = bench.submit({})
    (asked,) = bench.submit({"requires_human_review": True})
    (gone,) = bench.submit({"requires_human_review": True})
    approved(bench, asked)
    cancelled(bench, gone)
    for verb in (approved, rejected):
        for task_id in (plain, asked, gone):
            with pytest.raises(Conflict):
                verb(bench, task_id)


def test_retrying_counts_from_the_start(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 3}, "max_retries": 1})
    bench.work(task_id)
    bench.sql("UPDATE tasks SET run_at = now()")
    recover.release_due(bench.engine)
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "failed"
    task = retried(bench, task_id)
    assert (task["error_count"], task["completed_at"], task["attempt"]) == (0, None, 2)
    assert bench.sql("SELECT FROM dead_letters WHERE redriven_at IS NULL") == []
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "retrying"


def test_a_cancelled_running_task_that_is_retried_is_not_cancelled_again(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 1}})
    claimed = take(bench, task_id)
    cancelled(bench, task_id)
    finish(bench.engine, [run(bench.engine, bench.watch, item) for item in claimed])
    assert retried(bench, task_id)["cancel_requested_at"] is None
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "completed"


@pytest.mark.parametrize("first", [cancelled, rejected])
def test_retrying_does_not_pass_by_the_review(bench: Bench, first: Verb) -> None:
    (task_id,) = bench.submit({"requires_human_review": True})
    first(bench, task_id)
    task = retried(bench, task_id)
    assert (task["status"], task["review"], task["completed_at"]) == ("pending", None, None)
    assert approved(bench, task_id)["status"] == "queued"


def test_retrying_does_not_pass_by_the_time(bench: Bench) -> None:
    (task_id,) = bench.submit({"scheduled_for": LATER})
    cancelled(bench, task_id)
    task = retried(bench, task_id)
    assert (task["status"], task["run_at"]) == ("deferred", task["scheduled_for"])


def test_retrying_waits_for_no_failed_upstream(bench: Bench) -> None:
    a, b = bench.submit({"key": "a", "config": {"fail_times": 1}, "max_retries": 0}, {"depends_on": ["a"]})
    cancelled(bench, b)
    bench.work(a)
    with pytest.raises(Conflict, match="retry those first"):
        retried(bench, b)


def test_every_final_state_stays_without_a_person(bench: Bench) -> None:
    ids = [in_state(bench, status.value) for status in FINAL]
    before = [bench.task(task_id) for task_id in ids]
    bench.sql("UPDATE tasks SET expires_at = now() - interval '1 hour', run_at = now()")
    recover.tick(bench.engine, "me")
    assert [bench.task(task_id)["status"] for task_id in ids] == [item["status"] for item in before]


def test_the_time_of_a_review_is_written_alike_whatever_was_decided(bench: Bench) -> None:
    yes, no = bench.submit({"requires_human_review": True}, {"requires_human_review": True})
    review.approve(bench.engine, bench.caller, yes, None)
    review.reject(bench.engine, bench.caller, no, None)
    for task_id in (yes, no):
        assert bench.task(task_id)["review"]["at"].endswith("Z")
