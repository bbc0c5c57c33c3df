"""A worker goes on with what its task's end lets go: without a message, and only where nothing else has its turn."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context
from taskengine.lifecycle import cancel, control_run, queues, recover
from taskengine.lifecycle.consume import consume
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import Probe, ProbeConfig, events
from tests.integration.lifecycle.runs import children, member, rows, shown, start, start_groups, statuses, task, task_id
from tests.integration.lifecycle.test_outages import failing

CHAIN = [{"id": f"s{number}", "type": "task", "task": {"type": "probe", "config": {}}} for number in range(3)]
ALL = {"s0": "completed", "s1": "completed", "s2": "completed"}


@pytest.fixture(autouse=True)
def _stretches(bench: Bench) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"stretch_seconds": 60})


def first_message(bench: Bench, run_id: UUID, path: str = "s0") -> int:
    """Let a worker take one step; returns how many attempts it recorded before it was done."""
    return consume(bench.engine, bench.watch, "integration", [(task_id(bench, run_id, path), 1)], "tester")


def line(bench: Bench) -> list[Any]:
    return bench.sql("SELECT task_id, attempt FROM outbox ORDER BY task_id")


def meanwhile(bench: Bench, probe: Probe, happens: Any) -> None:
    """Have something happen while the first task runs that does."""
    once: list[bool] = []

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        if not once:
            once.append(True)
            happens()
        return Succeeded(None)

    probe.does = does


def test_one_message_works_off_a_chain(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    assert first_message(bench, run_id) == 3
    assert shown(bench, run_id)["status"] == "completed"
    assert events(bench, task_id(bench, run_id, "s0")) == ["created", "claimed", "completed"]
    for path in ("s1", "s2"):
        assert events(bench, task_id(bench, run_id, path)) == ["created", "queued", "claimed", "completed"]


def test_each_link_begins_after_the_one_before_has_ended(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    first_message(bench, run_id)
    found = [rows(bench, run_id)[path] for path in ALL]
    for before, after in pairwise(found):
        assert before.completed_at <= after.queued_at <= after.started_at
    executions = bench.sql("SELECT attempt, status, worker FROM executions")
    assert [tuple(row) for row in executions] == [(1, "succeeded", "tester")] * 3


def test_what_waits_in_the_queue_has_its_turn_first(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    meanwhile(bench, probe, lambda: bench.submit({}))
    assert first_message(bench, run_id) == 1
    assert statuses(bench, run_id)["s1"] == "queued"
    assert len(line(bench)) == 2


def test_a_paused_queue_gives_nothing_more(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    meanwhile(bench, probe, lambda: queues.pause(bench.engine, bench.caller, "integration"))
    assert first_message(bench, run_id) == 1
    assert statuses(bench, run_id)["s1"] == "queued"


def test_a_paused_run_holds_its_next_link(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    meanwhile(bench, probe, lambda: control_run.pause(bench.engine, bench.caller, run_id))
    assert first_message(bench, run_id) == 1
    assert statuses(bench, run_id)["s1"] == "paused"


def test_a_cancelled_link_is_not_begun(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    second = task_id(bench, run_id, "s1")
    meanwhile(bench, probe, lambda: cancel.cancel(bench.engine, bench.caller, second, "not this one"))
    assert first_message(bench, run_id) == 1
    assert statuses(bench, run_id) == {"s0": "completed", "s1": "cancelled", "s2": "skipped"}


def test_a_link_that_has_expired_is_not_begun(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    second = task_id(bench, run_id, "s1")
    bench.sql("UPDATE tasks SET expires_at = now() - interval '1 second' WHERE id = :id", id=second)
    assert first_message(bench, run_id) == 1
    recover.cancel_expired(bench.engine)
    assert statuses(bench, run_id)["s1"] == "cancelled"


def test_a_failed_link_ends_the_stretch(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        raise PermanentError("no", "not today")

    run_id = start(bench, CHAIN)
    probe.does = does
    assert first_message(bench, run_id) == 1
    assert statuses(bench, run_id) == {"s0": "failed", "s1": "skipped", "s2": "skipped"}


def test_a_connection_cut_at_the_hand_over_takes_nothing_along(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    with failing(bench, "WITH ready AS") as failed:
        assert first_message(bench, run_id) == 3
    assert len(failed) == 1
    assert statuses(bench, run_id) == ALL
    assert len(bench.sql("SELECT FROM executions")) == 3


def test_a_connection_cut_at_the_commit_takes_nothing_along(bench: Bench, probe: Probe) -> None:
    run_id = start(bench, CHAIN)
    failed: list[str] = []

    def cut(conn: Any) -> None:
        if not failed and conn.exec_driver_sql("SELECT FROM executions WHERE status = 'succeeded'").first() is not None:
            failed.append("commit")
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    event.listen(bench.engine.db.sqlalchemy, "commit", cut)
    try:
        assert first_message(bench, run_id) == 3
    finally:
        event.remove(bench.engine.db.sqlalchemy, "commit", cut)
    assert failed
    assert statuses(bench, run_id) == ALL
    assert len(bench.sql("SELECT FROM executions")) == 3


def test_a_worker_that_dies_with_a_link_in_hand_loses_only_its_lease(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        if ctx.task_id == second:
            raise KeyboardInterrupt  # the process ends here: nothing is recorded
        return Succeeded(None)

    run_id = start(bench, CHAIN)
    second = task_id(bench, run_id, "s1")
    probe.does = does
    with pytest.raises(KeyboardInterrupt):
        first_message(bench, run_id)
    assert statuses(bench, run_id) == {"s0": "completed", "s1": "running", "s2": "pending"}
    bench.sql("UPDATE executions SET lease_until = now() - interval '1 second' WHERE status = 'running'")
    recover.give_up_lost(bench.engine)
    probe.does = lambda ctx, config: Succeeded(None)
    assert consume(bench.engine, bench.watch, "integration", [(second, 2)], "another") == 2
    assert statuses(bench, run_id) == ALL
    assert events(bench, second) == ["created", "queued", "claimed", "lost", "claimed", "completed"]


def test_small_tasks_that_one_end_lets_go_are_carried_together_up_to_a_bound(bench: Bench) -> None:
    parts = [task(f"part{number}", depends_on=["first"]) for number in range(20)]
    run_id = start(bench, [task("first"), *parts])
    assert first_message(bench, run_id, "first") == 1 + 16
    assert len(line(bench)) == 4


def test_only_one_of_several_large_tasks_is_carried(bench: Bench, probe: Probe) -> None:
    parts = [CHAIN[0] | {"id": f"part{number}", "depends_on": ["s0"]} for number in range(5)]
    run_id = start(bench, [CHAIN[0], *parts])
    assert first_message(bench, run_id) == 2
    assert len(line(bench)) == 4


def test_a_link_of_another_queue_goes_into_its_line(bench: Bench, probe: Probe) -> None:
    other = {"id": "s1", "type": "task", "task": {"type": "echo", "config": {"message": 1}, "queue": "reporting"}}
    run_id = start(bench, [CHAIN[0], other])
    assert first_message(bench, run_id) == 1
    assert statuses(bench, run_id)["s1"] == "queued"


def test_the_time_of_a_stretch_is_bounded(bench: Bench, probe: Probe) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"stretch_seconds": 0})
    run_id = start(bench, CHAIN)
    assert first_message(bench, run_id) == 1
    assert len(line(bench)) == 1


def test_a_stretch_leads_through_the_steps_of_a_run(bench: Bench) -> None:
    steps: Sequence[dict[str, Any]] = [
        task("first"),
        {"id": "box", "type": "sequential", "depends_on": ["first"], "steps": [task("a"), task("b")]},
        {"id": "rounds", "type": "loop", "for_each": [1, 2], "max_iterations": 2, "steps": [task("in")]},
        task("last"),
    ]
    run_id = start(bench, steps)
    first_message(bench, run_id, "first")
    assert shown(bench, run_id)["status"] == "completed"
    assert not line(bench)


def test_a_stretch_leads_from_group_to_group(bench: Bench) -> None:
    one = {"id": "one", "name": "one", "tasks": [member("a")]}
    two = {"id": "two", "name": "two", "tasks": [member("b")], "depends_on": ["one"]}
    run_id = start_groups(bench, one, two)
    assert first_message(bench, run_id, "one.a") == 2
    assert shown(bench, run_id)["status"] == "completed"
    assert len(children(bench, task_id(bench, run_id, "one"))) == 1


def test_a_link_never_began_before_what_it_waited_for_had_ended(bench: Bench, probe: Probe) -> None:
    """Both ends are under way at once: the transaction that began first hands the link over, once the other is done."""
    parts = [CHAIN[0] | {"id": name, "depends_on": []} for name in ("a", "b")]
    run_id = start(bench, [*parts, CHAIN[0] | {"id": "c", "depends_on": ["a", "b"]}])
    a, b = (task_id(bench, run_id, name) for name in "ab")
    began: list[bool] = []

    def other_first(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM task_dependencies d JOIN tasks u" in statement and not began:
            began.append(True)
            other = threading.Thread(target=bench.work, args=[b])
            other.start()
            other.join()

    event.listen(bench.engine.db.sqlalchemy, "before_cursor_execute", other_first)
    try:
        assert consume(bench.engine, bench.watch, "integration", [(a, 1)], "tester") == 2
    finally:
        event.remove(bench.engine.db.sqlalchemy, "before_cursor_execute", other_first)
    found = rows(bench, run_id)
    assert found["c"].status == "completed"
    assert found["a"].completed_at < found["b"].completed_at <= found["c"].queued_at <= found["c"].started_at
    assert shown(bench, run_id)["status"] == "completed"
