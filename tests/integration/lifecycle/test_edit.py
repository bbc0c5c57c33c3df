"""Changing and deleting tasks, and reading lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskengine.domain.errors import Conflict, Invalid, NotFound
from taskengine.domain.task import PageRequest, TaskChanges, TaskFilter
from taskengine.handlers.registry import Registry
from taskengine.lifecycle import control, edit, query, review
from taskengine.lifecycle.submit import MAX_BATCH
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, STATES, events, in_state

PAST = "2001-01-01T00:00:00Z"


def change(bench: Bench, task_id: UUID, **values: Any) -> dict[str, Any]:
    return edit.update(bench.engine, bench.caller, task_id, TaskChanges.model_validate(values))


@pytest.mark.parametrize("status", ["pending", "deferred", "queued", "retrying", "paused"])
def test_what_has_not_started_can_be_changed(bench: Bench, status: str) -> None:
    task_id = in_state(bench, status)
    values: dict[str, Any] = {
        "name": "new", "description": "d", "priority": "high", "urgency": "urgent", "assigned_to": "ada",
        "deadline": LATER, "expires_at": LATER, "max_retries": 9, "timeout_seconds": 5.0, "tags": ["a"],
        "metadata": {"b": 1}, "config": {"message": "changed"}, "retry": {"strategy": "fixed", "delay_seconds": 9.0},
    }  # fmt: skip
    task = change(bench, task_id, **values)
    for name in set(values) - {"deadline", "expires_at", "retry"}:
        assert task[name] == values[name], name
    assert task["retry"]["strategy"] == "fixed"
    assert task["expires_at"].year == 2999
    assert task["status"] == status
    assert events(bench, task_id)[-1] == "changed"


@pytest.mark.parametrize("status", ["running", "completed", "failed", "cancelled", "skipped"])
def test_what_has_started_or_ended_cannot(bench: Bench, status: str) -> None:
    with pytest.raises(Conflict):
        change(bench, in_state(bench, status), name="new")


def test_a_queued_task_moves_up_in_line(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    change(bench, task_id, priority="critical", urgency="urgent", config={"sleep_seconds": 1})
    (row,) = bench.sql("SELECT priority, urgency, light FROM outbox")
    assert (row.priority, row.urgency, row.light) == (5, 1, False)


def test_nothing_sent_changes_nothing(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    before = bench.task(task_id)
    assert change(bench, task_id) == before


@pytest.mark.parametrize("name", ["name", "config", "priority", "urgency", "max_retries", "retry", "tags", "metadata"])
def test_some_fields_cannot_be_emptied(bench: Bench, name: str) -> None:
    (task_id,) = bench.submit({})
    with pytest.raises(Invalid) as caught:
        change(bench, task_id, **{name: None})
    assert caught.value.errors[0].loc == (name,)


def test_others_can(bench: Bench) -> None:
    (task_id,) = bench.submit({"description": "d", "assigned_to": "a", "deadline": LATER, "expires_at": LATER})
    task = change(bench, task_id, description=None, assigned_to=None, deadline=None, expires_at=None)
    assert {task[name] for name in ("description", "assigned_to", "deadline", "expires_at")} == {None}


def test_wrong_values_are_refused(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    with pytest.raises(Invalid) as caught:
        change(bench, task_id, config={"sleep_seconds": "long"})
    assert caught.value.errors[0].loc == ("config", "sleep_seconds")
    with pytest.raises(Invalid):
        change(bench, task_id, expires_at=PAST)


def test_the_input_schema_holds_for_changes_too(bench: Bench) -> None:
    schema = {"properties": {"message": {"type": "string"}}}
    (task_id,) = bench.submit({"input_schema": schema})
    with pytest.raises(Invalid) as caught:
        change(bench, task_id, config={"message": 5})
    assert caught.value.errors[0].type == "input_schema"
    with pytest.raises(Invalid):
        bench.submit({"input_schema": schema, "config": {"message": 5}})
    with pytest.raises(Invalid) as refused:
        bench.submit({"input_schema": {"type": "nope"}}, {"output_schema": {"$ref": "http://localhost/x"}})
    assert [item.loc for item in refused.value.errors] == [(0, "input_schema"), (1, "output_schema")]


def test_a_type_that_is_not_installed_keeps_its_config(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    bench.engine.registry = Registry([])
    with pytest.raises(Conflict, match="not installed"):
        change(bench, task_id, config={"message": 5})


def test_a_time_can_be_moved(bench: Bench) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    deferred = in_state(bench, "deferred")
    task = change(bench, deferred, scheduled_for=soon)
    assert task["run_at"] == task["scheduled_for"]
    assert change(bench, deferred, scheduled_for=None)["run_at"] <= datetime.now(UTC)
    paused = in_state(bench, "paused")
    change(bench, paused, scheduled_for=soon)
    assert control.resume(bench.engine, bench.caller, paused)["status"] == "deferred"
    with pytest.raises(Conflict):
        change(bench, in_state(bench, "queued"), scheduled_for=soon)
    with pytest.raises(Invalid):
        change(bench, in_state(bench, "deferred", execution_type="scheduled"), scheduled_for=None)


@pytest.mark.parametrize("status", sorted(set(STATES) - {"running"}))
def test_what_does_not_run_can_be_deleted(bench: Bench, status: str) -> None:
    task_id = in_state(bench, status)
    edit.delete(bench.engine, bench.caller, task_id)
    with pytest.raises(NotFound):
        bench.task(task_id)
    for table in ("outbox", "events", "executions", "dead_letters", "task_dependencies"):
        assert bench.sql(f"SELECT FROM {table} WHERE task_id = :id", id=task_id) == []


def test_what_runs_or_is_waited_for_cannot(bench: Bench) -> None:
    a, _ = bench.submit({"key": "a"}, {"depends_on": ["a"]})
    for task_id in (a, in_state(bench, "running")):
        with pytest.raises(Conflict):
            edit.delete(bench.engine, bench.caller, task_id)
    with pytest.raises(NotFound):
        edit.delete(bench.engine, bench.caller, uuid4())


def found(bench: Bench, **wanted: Any) -> set[str]:
    return {item["name"] for item in query.tasks(bench.engine, bench.caller, TaskFilter(**wanted), PageRequest()).items}


def test_lists_are_narrowed(bench: Bench) -> None:
    bench.submit(
        {"name": "one apple", "priority": "high", "tags": ["red", "round"], "assigned_to": "ada"},
        {"name": "two", "description": "a pear", "queue": "reporting", "execution_type": "manual"},
    )
    assert found(bench) == {"one apple", "two"}
    for wanted in (
        {"statuses": ("queued",)}, {"statuses": ("queued", "failed")}, {"queue": "integration"}, {"tag": "red"},
        {"assigned_to": "ada"}, {"priority": "high"}, {"q": "apple"}, {"q": '"one apple" -pear'},
    ):  # fmt: skip
        assert found(bench, **wanted) == {"one apple"}, wanted
    assert found(bench, q="pear") == {"two"}
    assert found(bench, type="echo", tag="green") == set()
    assert found(bench, run_id=uuid4()) == set()
    now = datetime.now(UTC)
    assert found(bench, created_after=now - timedelta(minutes=1)) == {"one apple", "two"}
    assert found(bench, created_after=now + timedelta(days=1)) == set()
    assert found(bench, created_before=now - timedelta(days=1)) == set()
    assert found(bench, created_before=datetime(1960, 1, 1, tzinfo=UTC)) == set()


def test_a_batch_has_a_limit(bench: Bench) -> None:
    with pytest.raises(Invalid):
        bench.submit(*([{}] * (MAX_BATCH + 1)))
    assert bench.submit() == []


def test_histories_are_read_in_pages(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"log_lines": 3, "fail_times": 1}, "max_retries": 0})
    bench.work(task_id)
    control.retry(bench.engine, bench.caller, task_id)
    bench.work(task_id)

    def pages(read: Any, identity: UUID, field: str) -> list[Any]:
        first = read(bench.engine, bench.caller, identity, PageRequest(limit=1))
        rest = read(bench.engine, bench.caller, identity, PageRequest(cursor=first.next_cursor))
        assert rest.next_cursor is None
        return [item[field] for item in first.items + rest.items]

    assert pages(query.executions, task_id, "attempt") == [2, 1]
    attempts = query.executions(bench.engine, bench.caller, task_id, PageRequest()).items
    assert [item["output"] for item in attempts] == [{"message": None}, None]
    assert len(pages(query.events, task_id, "id")) == 6
    assert pages(query.logs, attempts[0]["id"], "sequence") == [1, 2, 3]
    for read in (query.logs, query.steps, query.executions, query.events, query.artifacts):
        with pytest.raises(NotFound):
            read(bench.engine, bench.caller, uuid4(), PageRequest())


def test_a_config_that_was_approved_is_reviewed_again_when_it_changes(bench: Bench) -> None:
    first, task_id = bench.submit({"key": "first"}, {"requires_human_review": True, "depends_on": ["first"]})
    review.approve(bench.engine, bench.caller, task_id, None)
    edit.update(bench.engine, bench.caller, task_id, TaskChanges(config={"message": "another"}))
    bench.work(first)
    assert (bench.task(task_id)["status"], bench.task(task_id)["review"]) == ("pending", None)
    review.approve(bench.engine, bench.caller, task_id, None)
    assert bench.task(task_id)["status"] == "queued"
    with pytest.raises(Conflict, match="approved with the config it has"):
        edit.update(bench.engine, bench.caller, task_id, TaskChanges(config={"message": "a third"}))
    edit.update(bench.engine, bench.caller, task_id, TaskChanges(name="other", priority="high"))
    bench.work(task_id)
    assert bench.task(task_id)["result"] == {"message": "another"}
