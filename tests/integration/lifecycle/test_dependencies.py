"""Tasks that wait for others."""

from __future__ import annotations

import threading
from itertools import pairwise
from uuid import UUID

import pytest

from taskengine.domain.errors import CircularDependency, Invalid, UnknownDependency
from taskengine.domain.task import TaskSpec
from taskengine.lifecycle import cancel, control, keys
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import run
from taskengine.lifecycle.submit import submit
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, events, in_state, last_error, take


def waiting_on(bench: Bench, task_id: UUID) -> int:
    return int(bench.sql("SELECT waiting_on FROM tasks WHERE id = :id", id=task_id)[0].waiting_on)


def nothing_stored(bench: Bench) -> bool:
    return bench.sql("SELECT FROM tasks") == []


def test_a_chain_of_keys_runs_link_by_link(bench: Bench) -> None:
    a, b, c = bench.submit({"key": "a"}, {"key": "b", "depends_on": ["a"]}, {"depends_on": ["b"]})
    assert bench.statuses([a, b, c]) == ["queued", "pending", "pending"]
    bench.work(a)
    assert bench.statuses([a, b, c]) == ["completed", "queued", "pending"]
    bench.work(b)
    bench.work(c)
    assert bench.statuses([a, b, c]) == ["completed"] * 3
    assert bench.task(c)["depends_on"] == [b]


def test_the_order_within_a_batch_does_not_matter(bench: Bench) -> None:
    b, a = bench.submit({"depends_on": ["a"]}, {"key": "a"})
    assert bench.statuses([a, b]) == ["queued", "pending"]


def test_a_task_may_wait_for_one_that_is_stored_already(bench: Bench) -> None:
    (a,) = bench.submit({})
    (b,) = bench.submit({"depends_on": [str(a)]})
    assert bench.task(b)["status"] == "pending"
    bench.work(a)
    assert bench.task(b)["status"] == "queued"


def test_what_is_completed_already_is_not_waited_for(bench: Bench) -> None:
    done = in_state(bench, "completed")
    (b,) = bench.submit({"depends_on": [str(done)]})
    assert bench.task(b)["status"] == "queued"


@pytest.mark.parametrize("ended", ["failed", "cancelled", "skipped"])
def test_a_task_behind_one_that_ended_badly_is_skipped_at_once(bench: Bench, ended: str) -> None:
    upstream = in_state(bench, ended)
    b, c = bench.submit({"key": "b", "depends_on": [str(upstream)]}, {"depends_on": ["b"]})
    assert bench.statuses([b, c]) == ["skipped", "skipped"]
    assert last_error(bench, b)["code"] == "upstream_failed"
    assert bench.task(b)["completed_at"] is not None


def test_a_cycle_is_refused_and_named_in_full(bench: Bench) -> None:
    with pytest.raises(CircularDependency) as caught:
        bench.submit(
            {"key": "outside"},
            {"key": "a", "depends_on": ["c", "outside"]},
            {"key": "b", "depends_on": ["a"]},
            {"key": "c", "depends_on": ["b"]},
        )
    text = caught.value.detail
    names = text.partition(": ")[2].split(" -> ")
    assert len(names) == 4
    assert names[0] == names[-1]
    waits = {"a": "c", "b": "a", "c": "b"}
    assert all(waits[before] == after for before, after in pairwise(names))
    assert caught.value.errors[0].type == "circular_dependency"
    assert nothing_stored(bench)


def test_a_task_cannot_wait_for_itself(bench: Bench) -> None:
    with pytest.raises(CircularDependency, match="itself"):
        bench.submit({"key": "a", "depends_on": ["a"]})
    assert nothing_stored(bench)


@pytest.mark.parametrize("name", ["nope", "00000000-0000-7000-8000-000000000000"])
def test_an_unknown_dependency_is_refused_with_its_place(bench: Bench, name: str) -> None:
    with pytest.raises(UnknownDependency, match=name) as caught:
        bench.submit({}, {"depends_on": [name]})
    assert caught.value.errors[0].loc[:2] == (1, "depends_on")
    assert nothing_stored(bench)


def test_another_organizations_task_is_unknown(bench: Bench) -> None:
    (a,) = bench.submit({})
    keys.add_organization(bench.engine, "other")
    other = keys.local_caller(bench.engine, "other")
    with pytest.raises(UnknownDependency):
        submit(bench.engine, other, [TaskSpec(name="b", type="echo", depends_on=[str(a)])])


def test_a_key_cannot_be_used_twice(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"key": "a"}, {"key": "a"})
    assert (caught.value.errors[0].loc, caught.value.errors[0].type) == ((1, "key"), "duplicate_key")


def test_a_dependency_that_is_named_twice_counts_once(bench: Bench) -> None:
    (old,) = bench.submit({})
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a", "a", str(old), str(old)]})
    assert waiting_on(bench, b) == 2
    bench.work(a)
    bench.work(old)
    assert bench.task(b)["status"] == "queued"


def test_a_failure_skips_everything_behind_it_level_by_level(bench: Bench) -> None:
    ids = bench.submit(
        {"key": "a", "config": {"fail_times": 9}, "max_retries": 0},
        {"key": "b1", "depends_on": ["a"]},
        {"key": "b2", "depends_on": ["a"], "execution_type": "manual"},
        {"key": "c", "depends_on": ["b1", "b2"]},
        {"key": "d", "depends_on": ["c"]},
        {"key": "free"},
    )
    control.pause(bench.engine, bench.caller, ids[3])
    bench.work(ids[0])
    assert bench.statuses(ids) == ["failed", "skipped", "skipped", "skipped", "skipped", "queued"]
    assert events(bench, ids[4]) == ["created", "skipped"]


def test_cancelling_skips_what_waits(bench: Bench) -> None:
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a"]})
    cancel.cancel(bench.engine, bench.caller, a, None)
    assert bench.task(b)["status"] == "skipped"
    assert "cancelled" in last_error(bench, b)["message"]


def test_released_before_its_time_a_task_waits_for_it(bench: Bench) -> None:
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a"], "scheduled_for": LATER})
    bench.work(a)
    assert bench.task(b)["status"] == "deferred"
    assert bench.task(b)["run_at"] == bench.task(b)["scheduled_for"]


def test_triggered_beforehand_it_does_not_wait_for_its_time(bench: Bench) -> None:
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a"], "scheduled_for": LATER})
    control.execute(bench.engine, bench.caller, b)
    bench.work(a)
    assert bench.task(b)["status"] == "queued"


def test_a_paused_task_counts_down_and_is_released_by_resume(bench: Bench) -> None:
    a, b = bench.submit({"key": "a"}, {"depends_on": ["a"]})
    control.pause(bench.engine, bench.caller, b)
    bench.work(a)
    assert bench.task(b)["status"] == "paused"
    assert control.resume(bench.engine, bench.caller, b)["status"] == "queued"


def test_five_hundred_into_one(bench: Bench) -> None:
    many = [f"m{number}" for number in range(500)]
    *heads, last = bench.submit(*({"key": key} for key in many), {"depends_on": many})
    for start in range(0, 500, 125):
        assert bench.task(last)["status"] == "pending"
        bench.work(*heads[start : start + 125])
    assert bench.task(last)["status"] == "queued"


def test_many_upstreams_that_end_at_the_same_time_release_once(bench: Bench) -> None:
    many = [f"m{number}" for number in range(16)]
    *heads, last = bench.submit(*({"key": key} for key in many), {"depends_on": many})
    threads = [threading.Thread(target=bench.work, args=[head]) for head in heads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.task(last)["status"] == "queued"
    assert events(bench, last) == ["created", "queued"]


def test_a_dependent_that_is_submitted_while_its_upstream_ends_is_released(bench: Bench) -> None:
    (a,) = bench.submit({})
    ended = [run(bench.engine, bench.watch, item) for item in take(bench, a)]
    finishing = threading.Thread(target=finish, args=[bench.engine, ended])
    with bench.engine.db.begin() as conn:
        (b,) = bench.submit({"depends_on": [str(a)]})
        finishing.start()
        # The end of `a` waits for this transaction's lock: only then may it commit.
        finishing.join(0.3)
        assert conn.in_transaction()
    finishing.join()
    assert bench.task(a)["status"] == "completed"
    assert bench.task(b)["status"] == "queued"


def test_a_retried_upstream_makes_way_for_what_was_skipped(bench: Bench) -> None:
    a, b = bench.submit({"key": "a", "config": {"fail_times": 1}, "max_retries": 0}, {"depends_on": ["a"]})
    bench.work(a)
    assert bench.statuses([a, b]) == ["failed", "skipped"]
    control.retry(bench.engine, bench.caller, a)
    bench.work(a)
    assert bench.statuses([a, b]) == ["completed", "skipped"]
    assert control.retry(bench.engine, bench.caller, b)["status"] == "queued"
    bench.work(b)
    assert bench.task(b)["status"] == "completed"


def test_a_running_upstream_is_waited_for(bench: Bench) -> None:
    (a,) = bench.submit({})
    take(bench, a)
    (b,) = bench.submit({"depends_on": [str(a)]})
    assert waiting_on(bench, b) == 1


def test_a_clean_up_task_runs_once_all_have_ended_and_one_of_them_badly(bench: Bench) -> None:
    a, b, clean = bench.submit(
        {"key": "a", "config": {"fail_times": 9}, "max_retries": 0},
        {"key": "b"},
        {"depends_on": ["a", "b"], "run_on": "failure"},
    )
    bench.work(a)
    assert bench.statuses([a, b, clean]) == ["failed", "queued", "pending"]
    bench.work(b)
    assert bench.task(clean)["status"] == "queued"
    bench.work(clean)
    assert bench.task(clean)["status"] == "completed"


def test_a_clean_up_task_is_skipped_neutrally_when_nothing_failed(bench: Bench) -> None:
    a, clean, always, after = bench.submit(
        {"key": "a"},
        {"key": "clean", "depends_on": ["a"], "run_on": "failure"},
        {"depends_on": ["a"], "run_on": "always"},
        {"depends_on": ["clean"]},
    )
    bench.work(a)
    assert bench.statuses([clean, always, after]) == ["skipped", "queued", "queued"]
    assert last_error(bench, clean)["code"] == "not_needed"


def test_a_clean_up_task_hands_the_failure_on(bench: Bench) -> None:
    a, always, after, cleaner = bench.submit(
        {"key": "a", "config": {"fail_times": 9}, "max_retries": 0},
        {"key": "always", "depends_on": ["a"], "run_on": "always"},
        {"depends_on": ["always"]},
        {"depends_on": ["always"], "run_on": "failure"},
    )
    bench.work(a)
    bench.work(always)
    assert bench.statuses([always, after, cleaner]) == ["completed", "skipped", "queued"]


def test_a_failure_that_does_not_matter_lets_dependents_go_on(bench: Bench) -> None:
    a, b, clean = bench.submit(
        {"key": "a", "config": {"fail_times": 9}, "max_retries": 0, "on_failure": "continue"},
        {"depends_on": ["a"]},
        {"depends_on": ["a"], "run_on": "failure"},
    )
    bench.work(a)
    assert bench.statuses([a, b, clean]) == ["failed", "queued", "skipped"]


@pytest.mark.parametrize(
    ("upstream", "run_on", "expected"),
    [
        ("completed", "success", "queued"),
        ("completed", "failure", "skipped"),
        ("completed", "always", "queued"),
        ("failed", "failure", "queued"),
        ("failed", "always", "queued"),
    ],
)
def test_run_on_looks_at_what_has_ended_already(bench: Bench, upstream: str, run_on: str, expected: str) -> None:
    done = in_state(bench, upstream)
    (task_id,) = bench.submit({"depends_on": [str(done)], "run_on": run_on})
    assert bench.task(task_id)["status"] == expected


def test_a_task_of_a_batch_sees_the_results_of_what_it_depends_on(bench: Bench) -> None:
    a, b, c, other = bench.submit(
        {"key": "a", "config": {"message": {"n": 20}}},
        {"key": "b", "depends_on": ["a"], "config": {"message": "{{ tasks.a.result.message.n + 1 }}"}},
        {"depends_on": ["a", "b"], "config": {"message": "{{ tasks.a.status }} {{ tasks.b.result.message * 2 }}"}},
        {"config": {"message": "{{ tasks.a.result }}"}, "max_retries": 0},
    )
    for task_id in (a, b, c, other):
        bench.work(task_id)
    assert bench.task(b)["result"] == {"message": 21}
    assert bench.task(c)["result"] == {"message": "completed 42"}
    assert last_error(bench, other)["code"] == "template_error"
    assert "a" in last_error(bench, other)["message"]


def test_a_clean_up_task_of_a_batch_sees_why(bench: Bench) -> None:
    a, clean = bench.submit(
        {"key": "a", "config": {"fail_times": 9}, "max_retries": 0},
        {"depends_on": ["a"], "run_on": "failure", "config": {"message": "{{ tasks.a.error.code }}"}},
    )
    bench.work(a)
    bench.work(clean)
    assert bench.task(clean)["result"] == {"message": "echo_failed"}
