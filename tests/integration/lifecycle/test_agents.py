"""Tasks that agents lease from the line, and the ways in which leases end."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from taskengine import runtime
from taskengine.domain.errors import ErrorInfo, LeaseOver, NotFound
from taskengine.domain.outcome import HandedOver
from taskengine.domain.task import Caller, TaskChanges
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import (
    agents,
    cancel,
    control,
    control_run,
    dispatch,
    edit,
    explain,
    keys,
    lease_ends,
    leases,
    query,
    query_runs,
    recover,
    secrets,
    start_run,
)
from tests.conftest import Bench
from tests.integration.lifecycle.agents import custom, executions, fall_silent, lease, lease_one, register
from tests.integration.lifecycle.conftest import Probe, events, last_error

BROKEN = ErrorInfo("no_words", "there are no words")


def complete(bench: Bench, held: dict[str, Any], result: Any = None, **options: Any) -> dict[str, Any]:
    return lease_ends.complete(bench.engine, bench.caller, held["id"], result or {"words": 2}, **options)


def fail(bench: Bench, held: dict[str, Any], *, retry: bool = True) -> dict[str, Any]:
    return lease_ends.fail(bench.engine, bench.caller, held["id"], BROKEN, retry=retry)


def ids(found: list[dict[str, Any]]) -> list[UUID]:
    return [item["task_id"] for item in found]


# From the line to the lease


def test_a_task_for_an_agent_is_leased_and_completed(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(bench, {})
    held = lease_one(bench)
    assert (held["task_id"], held["attempt"], held["capability"]) == (task_id, 1, "word_count")
    assert held["config"] == {"capability": "word_count", "instructions": None, "payload": {"text": "a b"}}
    assert held["idempotency_key"] == str(task_id)
    assert bench.task(task_id)["status"] == "running"
    ended = complete(bench, held, logs=[{"message": "counted", "level": "info"}])
    assert (ended["status"], ended["task_status"]) == ("succeeded", "completed")
    assert bench.task(task_id)["result"] == {"words": 2}
    assert executions(bench, task_id) == [("succeeded", "agent:ann")]
    assert events(bench, task_id) == ["created", "claimed", "completed"]
    assert bench.sql("SELECT message FROM execution_logs")[0].message == "counted"


def test_a_task_for_an_agent_never_goes_to_the_broker(bench: Bench) -> None:
    (task_id,) = custom(bench, {})
    assert dispatch.dispatch(bench.engine, "agent:word_count") == 0
    assert recover.dispatch_lines(bench.engine) == 0
    assert recover.ring_again(bench.engine) == 0
    assert bench.sql("SELECT published_at FROM outbox WHERE task_id = :id", id=task_id)[0].published_at is None
    assert bench.engine.redis.keys("*agent*") == []


def test_the_highest_priority_comes_first_whatever_its_capability(bench: Bench) -> None:
    register(bench, "ann", "word_count", "code_review", most=10)
    low, urgent = custom(bench, {"priority": "low"}, {"priority": "urgent"})
    (high,) = custom(bench, {"priority": "high"}, capability="code_review")
    normal, pressing = custom(bench, {}, {"urgency": "urgent"})
    assert ids(lease(bench, most=3)) == [urgent, high, pressing]
    assert ids(lease(bench, most=3)) == [normal, low]


def test_only_matching_capabilities_are_leased(bench: Bench) -> None:
    register(bench, "bob", "code_review")
    custom(bench, {})
    assert lease(bench, "bob") == []


def test_an_agent_holds_no_more_than_it_may(bench: Bench) -> None:
    register(bench, most=2)
    custom(bench, *[{}] * 4)
    first = lease(bench, most=3)
    assert len(first) == 2
    assert lease(bench) == []
    complete(bench, first[0])
    assert len(lease(bench)) == 1


def test_leases_at_the_same_time_are_never_doubled_and_keep_to_the_limit(bench: Bench) -> None:
    register(bench, "ann", most=6)
    register(bench, "bob", "word_count", most=6)
    expected = set(custom(bench, *[{}] * 12))
    found: list[dict[str, Any]] = []
    start = threading.Barrier(6)

    def ask(agent_id: str) -> None:
        start.wait()
        for _ in range(4):
            found.extend(lease(bench, agent_id, most=2))

    threads = [threading.Thread(target=ask, args=(name,)) for name in ["ann", "bob"] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = ids(found)
    assert len(taken) == len(set(taken))
    for agent_id in ("ann", "bob"):
        taken += ids(lease(bench, agent_id))
    assert set(taken) == expected
    assert {row.n for row in bench.sql("SELECT count(*) AS n FROM executions GROUP BY worker")} == {6}


def test_templates_and_the_secrets_that_they_name_are_resolved_for_the_agent(bench: Bench) -> None:
    register(bench)
    secrets.put(bench.engine, bench.caller, "TOKEN", "s3cr3t-value")
    payload = {"token": "{{ secrets.TOKEN }}", "who": "{{ input.who }}", "attempt": "{{ task.attempt }}"}
    (task_id,) = custom(
        bench, {"config": {"capability": "word_count", "payload": payload}, "input": {"who": "everybody"}}
    )
    held = lease_one(bench)
    assert held["config"]["payload"] == {"token": "s3cr3t-value", "who": "everybody", "attempt": 1}
    assert held["input"] == {"who": "everybody"}
    complete(bench, held, {"said": "s3cr3t-value"}, logs=[{"message": "s3cr3t-value", "level": "info"}])
    assert bench.task(task_id)["result"] == {"said": "***"}
    assert bench.sql("SELECT message FROM execution_logs")[0].message == "***"


def test_a_task_whose_config_cannot_be_rendered_ends_and_the_next_is_leased(bench: Bench) -> None:
    register(bench, most=1)
    bad, good = custom(bench, {"config": {"capability": "word_count", "payload": "{{ secrets.NO }}"}}, {})
    assert lease(bench) == []
    assert last_error(bench, bad)["code"] == "unknown_secret"
    assert bench.task(bad)["status"] == "failed"
    assert ids(lease(bench)) == [good]


def test_a_capability_that_is_a_template_is_rendered_by_a_worker_first(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(
        bench, {"config": {"capability": "{{ input.kind }}"}, "input": {"kind": "word_count"}}, capability="?"
    )
    assert bench.task(task_id)["queue"] == "automation"
    assert bench.work(task_id) == 1
    recover.release_due(bench.engine)
    assert bench.task(task_id)["queue"] == "agent:word_count"
    held = lease_one(bench)
    assert held["config"]["capability"] == "word_count"
    complete(bench, held)
    assert bench.task(task_id)["status"] == "completed"


def test_a_task_that_its_handler_hands_over_is_leased(bench: Bench, probe: Probe) -> None:
    register(bench)
    probe.does = lambda ctx, config: HandedOver("agent:word_count", "for an agent")
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.work(task_id)
    recover.release_due(bench.engine)
    assert lease_one(bench)["task_id"] == task_id
    assert bench.task(task_id)["error_count"] == 0


# What is done to tasks in line


def test_a_paused_task_is_not_leased_until_it_is_resumed(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(bench, {})
    control.pause(bench.engine, bench.caller, task_id)
    assert lease(bench) == []
    control.resume(bench.engine, bench.caller, task_id)
    assert ids(lease(bench)) == [task_id]


def test_a_cancelled_or_expired_task_is_not_leased(bench: Bench) -> None:
    register(bench)
    cancelled, expired = custom(bench, {}, {"expires_at": "2999-01-01T00:00:00Z"})
    cancel.cancel(bench.engine, bench.caller, cancelled, "enough")
    bench.sql("UPDATE outbox SET expires_at = now() - interval '1 second'")
    bench.sql("UPDATE tasks SET expires_at = now() - interval '1 second' WHERE id = :id", id=expired)
    assert lease(bench) == []
    assert recover.cancel_expired(bench.engine) == 1
    assert bench.statuses([cancelled, expired]) == ["cancelled", "cancelled"]
    assert last_error(bench, expired)["code"] == "expired"


def test_a_changed_priority_counts_in_line(bench: Bench) -> None:
    register(bench)
    first, second = custom(bench, {}, {})
    edit.update(bench.engine, bench.caller, second, TaskChanges(priority="critical"))
    assert ids(lease(bench)) == [second, first]


def test_another_capability_is_another_line(bench: Bench) -> None:
    register(bench)
    register(bench, "bob", "code_review")
    (task_id,) = custom(bench, {})
    edit.update(bench.engine, bench.caller, task_id, TaskChanges(config={"capability": "code_review"}))
    assert lease(bench) == []
    assert ids(lease(bench, "bob")) == [task_id]


def test_a_paused_run_gives_no_leases(bench: Bench) -> None:
    register(bench)
    step = {"id": "count", "type": "task", "task": {"type": "custom", "config": {"capability": "word_count"}}}
    after = {"id": "after", "type": "task", "task": {"type": "custom", "config": {"capability": "word_count"}}}
    spec = RunSpec.model_validate({"definition": {"name": "words", "steps": [step, after]}})
    run = start_run.start(bench.engine, bench.caller, spec)
    held = lease_one(bench)
    control_run.pause(bench.engine, bench.caller, run["id"])
    complete(bench, held)
    assert lease(bench) == []
    control_run.resume(bench.engine, bench.caller, run["id"])
    complete(bench, lease_one(bench), {"words": 7})
    ended = query_runs.run(bench.engine, bench.caller, run["id"])
    assert ended["status"] == "completed"
    assert ended["results"]["after"] == {"words": 7}


# How leases end


def test_a_failure_is_tried_again_and_a_permanent_one_is_not(bench: Bench) -> None:
    register(bench)
    retried, dead = custom(bench, {"retry": {"strategy": "fixed", "delay_seconds": 0, "jitter": False}}, {})
    first, second = lease(bench)
    assert fail(bench, first)["task_status"] == "retrying"
    assert fail(bench, second, retry=False)["task_status"] == "failed"
    assert last_error(bench, dead)["code"] == "no_words"
    assert bench.sql("SELECT queue, code FROM dead_letters") == [("agent:word_count", "no_words")]
    recover.release_due(bench.engine)
    held = lease_one(bench)
    assert (held["task_id"], held["attempt"]) == (retried, 2)


def test_a_result_that_does_not_meet_the_schema_fails_the_task(bench: Bench) -> None:
    register(bench)
    schema = {"type": "object", "required": ["words"]}
    (task_id,) = custom(bench, {"output_schema": schema})
    held = lease_one(bench)
    assert held["output_schema"] == schema
    ended = complete(bench, held, {"letters": 3})
    assert (ended["status"], ended["task_status"], ended["error"]["code"]) == ("failed", "failed", "invalid_output")
    assert "words" in last_error(bench, task_id)["message"]


def test_a_result_that_is_too_large_fails_the_task(bench: Bench) -> None:
    register(bench)
    custom(bench, {})
    ended = complete(bench, lease_one(bench), "x" * (bench.engine.settings.max_result_bytes + 1))
    assert ended["error"]["code"] == "result_too_large"


def test_a_lost_lease_goes_to_another_agent_and_the_late_result_is_refused(bench: Bench) -> None:
    register(bench)
    register(bench, "bob", "word_count")
    (task_id,) = custom(bench, {})
    late = lease_one(bench)
    fall_silent(bench)
    assert recover.give_up_lost(bench.engine) == 1
    held = lease_one(bench, "bob")
    with pytest.raises(LeaseOver) as refused:
        complete(bench, late, {"words": 99})
    assert refused.value.extra["execution_status"] == "lost"
    with pytest.raises(LeaseOver):
        lease_ends.extend(bench.engine, bench.caller, late["id"])
    complete(bench, held)
    assert executions(bench, task_id) == [("lost", "agent:ann"), ("succeeded", "agent:bob")]
    assert bench.task(task_id)["result"] == {"words": 2}


def test_a_lease_ends_once(bench: Bench) -> None:
    register(bench)
    custom(bench, {})
    held = lease_one(bench)
    complete(bench, held)
    for again in (complete, fail):
        with pytest.raises(LeaseOver, match="completed already"):
            again(bench, held)


def test_an_extended_lease_is_held_longer_but_not_beyond_the_time_limit(bench: Bench) -> None:
    register(bench)
    custom(bench, {"timeout_seconds": 60})
    held = lease_one(bench)
    progress = {"fraction": 0.5, "message": "half"}
    extended = lease_ends.extend(bench.engine, bench.caller, held["id"], 20, progress)
    assert held["lease_until"] < extended["lease_until"] < extended["deadline"] == held["deadline"]
    furthest = lease_ends.extend(bench.engine, bench.caller, held["id"], 3600)
    assert furthest["lease_until"] == furthest["deadline"]
    assert query.execution(bench.engine, bench.caller, held["id"])["progress"] == progress


def test_a_lease_is_never_given_beyond_the_time_limit(bench: Bench) -> None:
    register(bench)
    custom(bench, {"timeout_seconds": 5})
    (held,) = lease(bench, lease_seconds=600)
    assert held["lease_until"] == held["deadline"]


def test_an_attempt_over_its_time_limit_times_out(bench: Bench) -> None:
    register(bench)
    silent, asking = custom(bench, {"timeout_seconds": 5}, {"timeout_seconds": 5, "max_retries": 0})
    _, held = lease(bench)
    bench.sql("UPDATE executions SET started_at = now() - interval '6 seconds'")
    with pytest.raises(LeaseOver, match="time limit"):
        lease_ends.extend(bench.engine, bench.caller, held["id"])
    assert bench.task(asking)["status"] == "failed"
    fall_silent(bench)
    assert recover.give_up_lost(bench.engine) == 0
    assert bench.task(silent)["status"] == "retrying"
    assert [last_error(bench, item)["code"] for item in (silent, asking)] == ["timeout", "timeout"]
    assert executions(bench, silent) == [("timed_out", "agent:ann")]


def test_a_cancelled_lease_tells_its_agent_and_ends_when_that_says_so(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(bench, {})
    held = lease_one(bench)
    cancel.cancel(bench.engine, bench.caller, task_id, "enough")
    (told,) = agents.heartbeat(bench.engine, bench.caller, "ann")["leases"]
    assert (told["cancelled"], told["cancel_reason"]) == (True, "enough")
    extended = lease_ends.extend(bench.engine, bench.caller, held["id"], 600)
    assert extended["cancelled"]
    assert extended["lease_until"] == held["lease_until"]
    assert fail(bench, held)["status"] == "cancelled"
    assert executions(bench, task_id) == [("cancelled", "agent:ann")]
    assert bench.task(task_id)["status"] == "cancelled"


def test_a_cancelled_lease_ends_with_its_time_at_the_latest(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(bench, {})
    lease_one(bench)
    cancel.cancel(bench.engine, bench.caller, task_id, "enough")
    fall_silent(bench)
    recover.give_up_lost(bench.engine)
    assert executions(bench, task_id) == [("cancelled", "agent:ann")]
    assert bench.task(task_id)["cancel_reason"] == "enough"


def test_a_result_that_comes_after_the_cancel_counts(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(bench, {})
    held = lease_one(bench)
    cancel.cancel(bench.engine, bench.caller, task_id, "enough")
    complete(bench, held)
    assert bench.task(task_id)["status"] == "completed"


def test_a_deleted_agents_leases_go_back_into_the_line(bench: Bench) -> None:
    register(bench)
    register(bench, "bob", "word_count")
    (task_id,) = custom(bench, {})
    lease_one(bench)
    agents.remove(bench.engine, bench.caller, "ann")
    recover.give_up_lost(bench.engine)
    assert ids(lease(bench, "bob")) == [task_id]
    with pytest.raises(NotFound):
        lease(bench, "ann")


def test_what_depends_on_an_agents_task_goes_on_with_its_result(bench: Bench) -> None:
    register(bench)
    steps = [
        {"id": "count", "type": "task", "task": {"type": "custom", "config": {"capability": "word_count"}}},
        {
            "id": "say",
            "type": "task",
            "task": {"type": "echo", "config": {"message": "{{ tasks.count.result.words }}"}},
        },
    ]
    spec = RunSpec.model_validate({"definition": {"name": "words", "steps": steps}})
    run = start_run.start(bench.engine, bench.caller, spec)
    complete(bench, lease_one(bench), {"words": 41})
    (row,) = bench.sql("SELECT id FROM tasks WHERE type = 'echo' AND status = 'queued'")
    bench.work(row.id)
    assert query_runs.run(bench.engine, bench.caller, run["id"])["results"]["say"] == {"message": 41}


def test_children_of_an_expansion_are_leased_one_by_one(bench: Bench) -> None:
    register(bench)
    expanded = {
        "config": {"capability": "word_count", "payload": "{{ item }}"},
        "input": {"texts": ["a", "b b"]},
        "expansion_config": {"type": "array", "array_mapping": {"item": "texts"}},
    }
    (task_id,) = custom(bench, expanded)
    found = lease(bench)
    assert sorted(item["config"]["payload"] for item in found) == ["a", "b b"]
    for held in found:
        complete(bench, held, {"words": len(held["config"]["payload"].split())})
    assert [child["result"]["words"] for child in bench.task(task_id)["result"]] == [1, 2]


# Organizations, waiting, explaining


def test_agents_and_leases_of_another_organization_are_not_there(bench: Bench) -> None:
    register(bench)
    (task_id,) = custom(bench, {})
    made = keys.add_organization(bench.engine, "other")
    other = keys.authenticate(bench.engine, str(made["key"]))
    assert isinstance(other, Caller)
    with pytest.raises(NotFound):
        leases.lease(bench.engine, other, "ann", 1)
    agents.register(bench.engine, other, "ann", "tester", ["word_count"], 5)
    assert leases.lease(bench.engine, other, "ann", 5) == []
    held = lease_one(bench)
    assert held["task_id"] == task_id
    assert agents.get(bench.engine, other, "ann")["open_leases"] == 0
    with pytest.raises(NotFound):
        lease_ends.extend(bench.engine, other, held["id"])
    with pytest.raises(NotFound):
        lease_ends.complete(bench.engine, other, held["id"], {})
    with pytest.raises(NotFound):
        lease_ends.fail(bench.engine, other, held["id"], BROKEN, retry=True)
    assert bench.task(task_id)["status"] == "running"


def test_the_execution_of_a_worker_is_no_lease(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    bench.work(task_id)
    (row,) = bench.sql("SELECT id FROM executions")
    for lease_id in (row.id, uuid4()):
        with pytest.raises(NotFound):
            lease_ends.extend(bench.engine, bench.caller, lease_id)


def waited(bench: Bench, seconds: float) -> list[dict[str, Any]]:
    """What comes within a time."""
    *blanks, found = leases.waiting(bench.engine, bench.caller, "ann", 1, None, seconds)
    assert set(map(type, blanks)) == {type(None)}
    assert found is not None
    return found


def comes_while_waiting(bench: Bench) -> bool:
    """Whether an agent that waits gets a task that is submitted meanwhile."""
    register(bench)
    found: list[dict[str, Any]] = []

    def wait() -> None:
        found.extend(waited(bench, 30))

    thread = threading.Thread(target=wait)
    thread.start()
    submitted = custom(bench, {})
    thread.join(20)
    return ids(found) == submitted and bench.engine.finishes._waiters == {}


def test_an_agent_that_waits_gets_what_comes(bench: Bench) -> None:
    assert comes_while_waiting(bench)


def test_an_agent_that_waits_gets_what_comes_while_redis_is_down(bench: Bench, settings: Settings) -> None:
    engine = runtime.build(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    without_redis = Bench(engine, bench.caller)
    assert comes_while_waiting(without_redis)
    without_redis.watch.close()
    engine.close()


def test_a_wait_for_nothing_ends_with_nothing(bench: Bench) -> None:
    register(bench)
    assert waited(bench, 0.05) == []


def test_nothing_is_leased_to_an_agent_that_stopped_waiting(bench: Bench) -> None:
    register(bench)
    gone = leases.waiting(bench.engine, bench.caller, "ann", 1, None, 30)
    assert next(gone) is None
    (task_id,) = custom(bench, {})
    gone.close()
    assert bench.engine.finishes._waiters == {}
    assert bench.task(task_id)["status"] == "queued"


def blocker(bench: Bench, task_id: UUID) -> dict[str, Any]:
    [found] = explain.explain(bench.engine, bench.caller, task_id)["blockers"]
    return dict(found)


def test_explain_says_which_agents_there_are_and_what_to_do(bench: Bench) -> None:
    first, second = custom(bench, {}, {})
    none = blocker(bench, first)
    assert none["kind"] == "agent"
    assert "0 registered, 0 alive, 0 free; register one" in none["message"]
    register(bench, most=1)
    assert "1 registered, 1 alive, 1 free; the next" in blocker(bench, first)["message"]
    lease_one(bench)
    assert "1 registered, 1 alive, 0 free; one of them" in blocker(bench, second)["message"]
    bench.sql("UPDATE agents SET seen_at = now() - interval '1 hour'")
    said = explain.explain(bench.engine, bench.caller, second)
    assert "1 registered, 0 alive, 0 free; start one" in said["summary"]
    assert said["position"] == 0
