"""Queues, presence, leadership, health, explanations, dead letters, pruning: what operators see and do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis

from taskengine.domain.errors import Forbidden, Invalid, NotFound
from taskengine.domain.task import PageRequest
from taskengine.lifecycle import (
    control,
    dead_letters,
    explain,
    health,
    keys,
    presence,
    prune,
    query,
    queues,
    recover,
    review,
    types,
)
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, PAGE, in_state, take

QUEUE = "integration"


def overview(bench: Bench, name: str = QUEUE) -> dict[str, Any]:
    return next(item for item in queues.listing(bench.engine, bench.caller) if item["name"] == name)


def blockers(bench: Bench, task_id: UUID) -> list[str]:
    return [item["kind"] for item in explained(bench, task_id)["blockers"]]


def explained(bench: Bench, task_id: UUID) -> dict[str, Any]:
    return explain.explain(bench.engine, bench.caller, task_id)


def with_worker(bench: Bench) -> None:
    presence.seen(bench.engine, "w1", QUEUE, 2, {})


def test_a_queue_shows_what_waits_runs_and_works(bench: Bench) -> None:
    presence.seen(bench.engine, "w1", QUEUE, 2, {})
    presence.seen(bench.engine, "w2", QUEUE, 3, {})
    presence.seen(bench.engine, "w3", "browser", 1, {})
    ids = bench.submit({}, {}, {})
    bench.work(ids[0])
    take(bench, ids[1])
    shown = overview(bench)
    assert shown.pop("oldest_age_seconds") >= 0
    assert shown == {
        "name": QUEUE, "depth": 1, "in_flight": 1, "running": 1, "workers": 2, "slots": 5, "paused": False,
        "draining": False, "finished_per_minute": 1,
    }  # fmt: skip
    assert overview(bench, "browser")["oldest_age_seconds"] is None


def test_a_silent_worker_is_not_counted_and_a_stopped_one_is_forgotten(bench: Bench) -> None:
    with_worker(bench)
    bench.sql("UPDATE workers SET seen_at = now() - interval '1 minute'")
    assert overview(bench)["workers"] == 0
    with_worker(bench)
    assert overview(bench)["workers"] == 1
    presence.gone(bench.engine, "w1")
    assert overview(bench)["workers"] == 0


def test_a_draining_queue_works_off_what_it_has_and_takes_nothing_new(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    assert queues.drain(bench.engine, bench.caller, QUEUE)["draining"] is True
    with pytest.raises(Invalid) as caught:
        bench.submit({"queue": "reporting"}, {})
    assert (caught.value.errors[0].loc, caught.value.errors[0].type) == ((1, "queue"), "queue_draining")
    assert bench.work(task_id) == 1
    assert queues.resume(bench.engine, bench.caller, QUEUE)["draining"] is False
    bench.submit({})


@pytest.mark.parametrize("verb", [queues.pause, queues.resume, queues.drain])
def test_there_are_only_so_many_queues(bench: Bench, verb: Callable[..., Any]) -> None:
    with pytest.raises(NotFound):
        verb(bench.engine, bench.caller, "nope")


@pytest.mark.parametrize("verb", [queues.pause, queues.resume, queues.drain])
@pytest.mark.parametrize("name", [QUEUE, "nope"])
def test_another_organization_sees_the_shared_queues_and_does_not_steer_them(
    bench: Bench, verb: Callable[..., Any], name: str
) -> None:
    keys.add_organization(bench.engine, "other")
    other = keys.local_caller(bench.engine, "other")
    before = queues.listing(bench.engine, other)
    with pytest.raises(Forbidden, match="only the operator's organization"):
        verb(bench.engine, other, name)
    assert queues.listing(bench.engine, bench.caller) == before


@pytest.mark.parametrize("queue", ["control", "nope"])
def test_user_tasks_go_to_user_queues(bench: Bench, queue: str) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"queue": queue})
    assert caught.value.errors[0].type == "unknown_queue"


def test_one_of_two_leads_until_it_falls_silent_or_resigns(bench: Bench) -> None:
    engine = bench.engine
    assert presence.lead(engine, "beat", "a", 60)
    assert not presence.lead(engine, "beat", "b", 60)
    assert presence.lead(engine, "beat", "a", 60)
    assert presence.lead(engine, "other", "b", 60)
    bench.sql("UPDATE leaders SET held_until = now() - interval '1 second' WHERE name = 'beat'")
    assert presence.lead(engine, "beat", "b", 60)
    assert not presence.lead(engine, "beat", "a", 60)
    presence.resign(engine, "beat", "a")
    assert not presence.lead(engine, "beat", "a", 60)
    presence.resign(engine, "beat", "b")
    assert presence.lead(engine, "beat", "a", 60)


def test_of_two_ticks_at_the_same_time_one_works(bench: Bench) -> None:
    assert recover.tick(bench.engine, "a")
    assert not recover.tick(bench.engine, "b")
    bench.sql("UPDATE leaders SET acted_at = now() - interval '1 minute'")
    assert recover.tick(bench.engine, "b")


def test_a_tick_does_all_its_duties(bench: Bench) -> None:
    due = in_state(bench, "deferred")
    bench.sql("UPDATE tasks SET run_at = now() WHERE id = :id", id=due)
    lost = in_state(bench, "running")
    bench.sql("UPDATE executions SET lease_until = now() - interval '1 second'")
    bench.sql("INSERT INTO idempotency_keys (organization_id, key, route, body_hash, status, headers, body, created_at)"
              " SELECT id, 'old', 'r', '', 200, '{}', '', now() - interval '2 days' FROM organizations")  # fmt: skip
    assert recover.tick(bench.engine, "me")
    assert bench.statuses([due, lost]) == ["queued", "queued"]
    assert bench.sql("SELECT FROM outbox WHERE published_at IS NULL") == []
    assert bench.sql("SELECT FROM idempotency_keys") == []
    assert bench.engine.redis.llen("control") == 1


def test_canaries_come_back(bench: Bench) -> None:
    recover.send_canaries(bench.engine, "me")
    assert bench.engine.redis.llen("browser") == 1
    recover.send_canaries(bench.engine, "me")
    assert bench.engine.redis.llen("browser") == 1
    recover.canary_back(bench.engine, "browser")
    (row,) = bench.sql("SELECT canary_at >= canary_sent_at AS back FROM queues WHERE name = 'browser'")
    assert row.back


def healthy(bench: Bench) -> None:
    recover.tick(bench.engine, "me")
    for name in bench.engine.settings.worker_sizes():
        presence.seen(bench.engine, f"w-{name}", name, 1, {})
        recover.canary_back(bench.engine, name)


def test_an_installation_is_ready_when_all_is_well(bench: Bench) -> None:
    assert health.ready(bench.engine)["status"] == "unavailable"
    healthy(bench)
    answer = health.ready(bench.engine)
    assert answer["status"] == "ready", answer
    assert {"postgres", "redis", "beat", "worker-integration"} <= set(answer["checks"])


@pytest.mark.parametrize(
    ("bend", "status", "check"),
    [
        ("DELETE FROM workers WHERE queue = 'browser'", "degraded", "worker-browser"),
        ("UPDATE queues SET canary_at = NULL WHERE name = 'browser'", "degraded", "worker-browser"),
        (
            "UPDATE queues SET canary_sent_at = now() - interval '1 h', canary_at = '2000-1-1' WHERE name = 'browser'",
            "degraded",
            "worker-browser",
        ),
        ("UPDATE leaders SET acted_at = now() - interval '1 hour'", "unavailable", "beat"),
        ("DELETE FROM workers", "unavailable", "worker-integration"),
    ],
)
def test_what_is_amiss_is_named(bench: Bench, bend: str, status: str, check: str) -> None:
    healthy(bench)
    bench.sql(bend)
    answer = health.ready(bench.engine)
    assert answer["status"] == status
    assert answer["checks"][check]["ok"] is False


def nowhere() -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)


def test_without_redis_it_is_degraded(bench: Bench) -> None:
    healthy(bench)
    kept, bench.engine.redis = bench.engine.redis, nowhere()
    answer = health.ready(bench.engine)
    bench.engine.redis = kept
    assert answer["status"] == "degraded"
    assert "delayed" in answer["checks"]["redis"]["detail"]


def test_every_blocker_is_explained(bench: Bench) -> None:
    upstream = in_state(bench, "pending", name="the first")
    (task_id,) = bench.submit(
        {
            "depends_on": [str(upstream)],
            "requires_human_review": True,
            "execution_type": "manual",
            "scheduled_for": LATER,
        }
    )
    control.pause(bench.engine, bench.caller, task_id)
    queues.pause(bench.engine, bench.caller, QUEUE)
    kept, bench.engine.redis = bench.engine.redis, nowhere()
    answer = explained(bench, task_id)
    bench.engine.redis = kept
    assert [item["kind"] for item in answer["blockers"]] == [
        "paused", "dependency", "review", "manual_trigger", "schedule", "queue_paused", "no_worker", "broker_down",
    ]  # fmt: skip
    assert all(item["message"] in answer["summary"] for item in answer["blockers"])
    assert "the first (pending)" in answer["summary"]
    assert (answer["position"], answer["expected_start"]) == (None, None)


def test_blockers_go_one_by_one(bench: Bench) -> None:
    with_worker(bench)
    (task_id,) = bench.submit({"requires_human_review": True, "execution_type": "manual"})
    assert blockers(bench, task_id) == ["review", "manual_trigger"]
    control.execute(bench.engine, bench.caller, task_id)
    assert blockers(bench, task_id) == ["review"]
    review.approve(bench.engine, bench.caller, task_id, None)
    assert blockers(bench, task_id) == []


def test_a_task_that_waits_for_its_time_says_until_when(bench: Bench) -> None:
    with_worker(bench)
    deferred, retrying = in_state(bench, "deferred"), in_state(bench, "retrying")
    assert blockers(bench, deferred) == ["schedule"]
    assert explained(bench, deferred)["expected_start"] == bench.task(deferred)["scheduled_for"]
    assert blockers(bench, retrying) == ["retry"]
    assert explained(bench, retrying)["expected_start"] == bench.task(retrying)["run_at"]


def test_a_queued_task_knows_its_place_and_about_when_it_starts(bench: Bench) -> None:
    with_worker(bench)
    done = bench.submit({})
    bench.work(*done)
    bench.sql("UPDATE tasks SET started_at = completed_at - interval '10 seconds'")
    bench.engine.redis.flushall()
    ids = bench.submit(*({"config": {"sleep_seconds": 1}} for _ in range(7)))
    assert explained(bench, ids[0])["summary"] == "is queued and next in line"
    last = explained(bench, ids[6])
    assert last["position"] == 6
    expected = datetime.now(UTC) + timedelta(seconds=30)
    assert abs(last["expected_start"] - expected) < timedelta(seconds=5)
    (urgent,) = bench.submit({"priority": "critical", "config": {"sleep_seconds": 1}})
    assert explained(bench, urgent)["position"] == bench.engine.settings.inflight_messages


def test_what_runs_or_has_ended_waits_for_nothing(bench: Bench) -> None:
    running = in_state(bench, "running")
    assert explained(bench, running)["summary"] == "attempt 1 runs"
    bench.sql("UPDATE tasks SET cancel_requested_at = now()")
    assert "asked to stop" in explained(bench, running)["summary"]
    done = explained(bench, in_state(bench, "completed"))
    assert (done["blockers"], done["position"], done["expected_start"]) == ([], None, None)
    with pytest.raises(NotFound):
        explained(bench, UUID(int=1))


def open_letters(bench: Bench, **wanted: str | None) -> list[UUID]:
    items = dead_letters.listing(bench.engine, bench.caller, dict(wanted), PAGE).items
    return [item["task_id"] for item in items]


def test_dead_letters_are_listed_newest_first_and_narrowed(bench: Bench) -> None:
    ids = [in_state(bench, "failed", queue=queue) for queue in ("integration", "reporting", "integration")]
    assert open_letters(bench) == ids[::-1]
    assert open_letters(bench, queue="reporting", type="echo", code="echo_failed") == [ids[1]]
    assert open_letters(bench, code="nope") == []
    first = dead_letters.listing(bench.engine, bench.caller, {}, PageRequest(limit=2))
    rest = dead_letters.listing(bench.engine, bench.caller, {}, PageRequest(limit=2, cursor=first.next_cursor))
    assert [item["task_id"] for item in first.items + rest.items] == ids[::-1]


def test_redriven_tasks_run_again(bench: Bench) -> None:
    ids = [in_state(bench, "failed") for _ in range(5)]
    bench.sql("UPDATE tasks SET cancel_requested_at = now()")
    assert dead_letters.redrive(bench.engine, bench.caller, limit=2) == {"redriven": 2}
    assert bench.statuses(ids) == ["queued", "queued", "failed", "failed", "failed"]
    bench.work(*ids[:2])
    assert bench.statuses(ids[:2]) == ["completed", "completed"]
    letters = dead_letters.listing(bench.engine, bench.caller, {}, PAGE).items
    one = next(item["id"] for item in letters if item["task_id"] == ids[4])
    assert dead_letters.redrive(bench.engine, bench.caller, ids=[one, UUID(int=1)]) == {"redriven": 1}
    assert dead_letters.redrive(bench.engine, bench.caller, code="nope") == {"redriven": 0}
    assert sorted(open_letters(bench)) == sorted(ids[2:4])


def test_another_organization_redrives_nothing_of_ours(bench: Bench) -> None:
    in_state(bench, "failed")
    keys.add_organization(bench.engine, "other")
    other = keys.local_caller(bench.engine, "other")
    assert dead_letters.redrive(bench.engine, other) == {"redriven": 0}


def test_old_finished_tasks_are_pruned_with_all_that_hangs_on_them(bench: Bench) -> None:
    (a,) = bench.submit({"config": {"log_lines": 2}})
    bench.work(a)
    failed = in_state(bench, "failed")
    kept = in_state(bench, "completed")
    queued = in_state(bench, "queued")
    bench.sql("UPDATE tasks SET completed_at = now() - interval '8 days' WHERE id IN (:a, :b)", a=a, b=failed)
    assert prune.prune(bench.engine, 7, batch=1) == 2
    assert [row.id for row in bench.sql("SELECT id FROM tasks ORDER BY id")] == [kept, queued]
    for table in ("executions", "events", "dead_letters"):
        assert bench.sql(f"SELECT FROM {table} WHERE task_id IN (:a, :b)", a=a, b=failed) == []
    assert bench.sql("SELECT FROM execution_logs") == []


def test_what_an_unfinished_task_depends_on_is_kept(bench: Bench) -> None:
    done = in_state(bench, "completed")
    (waiting,) = bench.submit({"depends_on": [str(done)], "execution_type": "manual"})
    bench.sql("UPDATE tasks SET completed_at = now() - interval '8 days' WHERE id = :id", id=done)
    assert prune.prune(bench.engine, 7) == 0
    control.execute(bench.engine, bench.caller, waiting)
    bench.work(waiting)
    assert prune.prune(bench.engine, 7) == 1


def test_the_tick_prunes_where_the_operator_wants_it(bench: Bench) -> None:
    done = in_state(bench, "completed")
    bench.sql("UPDATE tasks SET completed_at = now() - interval '8 days' WHERE id = :id", id=done)
    recover.clean(bench.engine, "me")
    assert bench.task(done)["status"] == "completed"
    bench.engine.settings = bench.engine.settings.model_copy(update={"retention_days": 7})
    bench.sql("DELETE FROM leaders")
    recover.clean(bench.engine, "me")
    with pytest.raises(NotFound):
        query.task(bench.engine, bench.caller, done)


def test_task_types_are_described(bench: Bench) -> None:
    echo = next(item for item in types.listing(bench.engine) if item["type"] == "echo")
    assert echo["queue"] == QUEUE
    assert "message" in echo["config_schema"]["properties"]
    assert "message" in echo["output_schema"]["properties"]
