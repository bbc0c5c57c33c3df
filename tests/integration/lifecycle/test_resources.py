"""What tasks need and workers have; what attempts use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from taskengine.broker.publish import direct
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context
from taskengine.lifecycle import dispatch, explain, presence, query, recover
from taskengine.store import outbox
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import PAGE, Probe, ProbeConfig

QUEUE = "integration"
BIG = {"cpu_cores": 8, "memory_gb": 32}
BURN = "sum(i * i for i in range(3_000_000)); x = bytearray(60_000_000)"


def worker(bench: Bench, name: str, **has: float) -> None:
    presence.seen(bench.engine, name, QUEUE, 1, has)


def demanding(bench: Bench, **needs: float) -> UUID:
    (task_id,) = bench.submit({"resource_requirements": needs or BIG})
    return task_id


def sent_to(bench: Bench, name: str) -> set[UUID]:
    return bench.engine.publisher.held([direct(name)])


def test_a_task_goes_to_a_worker_that_has_what_it_needs(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@small", cpu_cores=2, memory_gb=4)
    worker(bench, f"{QUEUE}@big", cpu_cores=16, memory_gb=64)
    task_id = demanding(bench)
    assert sent_to(bench, f"{QUEUE}@big") == {task_id}
    assert bench.engine.publisher.held([QUEUE, direct(f"{QUEUE}@small")]) == set()
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "completed"


def test_one_that_no_worker_can_take_says_so_and_holds_up_nobody(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@small", cpu_cores=2, memory_gb=4)
    stuck = demanding(bench)
    (behind,) = bench.submit({})
    assert bench.engine.publisher.held([QUEUE, direct(f"{QUEUE}@small")]) == {behind}
    found = explain.explain(bench.engine, bench.caller, stuck)
    (blocker,) = [item for item in found["blockers"] if item["kind"] == "resources"]
    assert "cpu_cores 8, memory_gb 32" in blocker["message"]
    assert "cpu_cores 2, memory_gb 4" in blocker["message"]
    worker(bench, f"{QUEUE}@big", cpu_cores=8, memory_gb=32)
    recover.dispatch_lines(bench.engine)
    assert sent_to(bench, f"{QUEUE}@big") == {stuck}
    assert "resources" not in [item["kind"] for item in explain.explain(bench.engine, bench.caller, stuck)["blockers"]]


def test_a_worker_gets_one_at_a_time_and_the_others_wait_for_all(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@one", **BIG)
    first, second = demanding(bench), demanding(bench)
    assert sent_to(bench, f"{QUEUE}@one") == {first}
    worker(bench, f"{QUEUE}@two", **BIG)
    dispatch.dispatch(bench.engine, QUEUE)
    assert sent_to(bench, f"{QUEUE}@two") == {second}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def test_workers_are_looked_up_once_and_not_for_each_of_a_long_line(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@one", **BIG)
    bench.submit(*[{"resource_requirements": BIG}] * 30)
    assert len(sent_to(bench, f"{QUEUE}@one")) == 1
    found = bench.sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {outbox.PICK.text}", queue=QUEUE, pack=200, reach=800, alive=30)
    loops = [node["Actual Loops"] for node in nodes(found[0][0][0]["Plan"]) if node.get("Relation Name") == "workers"]
    assert loops == [1]


def test_small_tasks_that_need_different_things_share_no_message(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@graphics", gpu_memory_gb=16)
    worker(bench, f"{QUEUE}@memory", memory_gb=64)
    drawing, counting = bench.submit(
        {"resource_requirements": {"gpu_memory_gb": 8}}, {"resource_requirements": {"memory_gb": 32}}
    )
    assert sent_to(bench, f"{QUEUE}@graphics") == {drawing}
    assert sent_to(bench, f"{QUEUE}@memory") == {counting}


def test_of_many_that_come_at_once_each_worker_gets_one_and_who_needs_nothing_does_not_wait(bench: Bench) -> None:
    names = [f"{QUEUE}@{name}" for name in ("one", "two", "three")]
    for name in names:
        worker(bench, name, **BIG)
    *_, plain = bench.submit(*[{"resource_requirements": BIG, "priority": "high"}] * 12, {})
    assert [len(sent_to(bench, name)) for name in names] == [1, 1, 1]
    assert bench.engine.publisher.held([QUEUE]) == {plain}


def test_what_was_sent_to_a_worker_that_died_goes_to_another(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@gone", **BIG)
    task_id = demanding(bench)
    presence.gone(bench.engine, f"{QUEUE}@gone")
    worker(bench, f"{QUEUE}@here", **BIG)
    bench.sql("UPDATE outbox SET published_at = now() - interval '1 hour'")
    recover.ring_again(bench.engine)
    recover.dispatch_lines(bench.engine)
    assert sent_to(bench, f"{QUEUE}@here") == {task_id}


def test_one_that_waits_for_its_busy_worker_is_not_rung_again(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@busy", **BIG)
    demanding(bench)
    bench.sql("UPDATE outbox SET published_at = now() - interval '1 hour'")
    assert recover.ring_again(bench.engine) == 0


def test_needing_nothing_is_no_need(bench: Bench) -> None:
    (task_id,) = bench.submit({"resource_requirements": {}})
    assert bench.engine.publisher.held([QUEUE]) == {task_id}


def test_the_link_of_a_chain_that_needs_more_is_not_taken_along(bench: Bench) -> None:
    worker(bench, f"{QUEUE}@big", **BIG)
    first, second = bench.submit({"key": "a"}, {"key": "b", "depends_on": ["a"], "resource_requirements": BIG})
    bench.work(first)
    assert bench.task(second)["status"] == "queued"
    dispatch.dispatch(bench.engine, QUEUE)
    assert sent_to(bench, f"{QUEUE}@big") == {second}


def test_what_an_attempt_and_its_children_use_is_recorded(bench: Bench, probe: Probe) -> None:
    def burns(ctx: Context, config: ProbeConfig) -> Outcome:
        subprocess.run([sys.executable, "-c", BURN], check=True)
        return Succeeded(None)

    probe.does = burns
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.work(task_id)
    (execution,) = query.executions(bench.engine, bench.caller, task_id, PAGE).items
    usage = execution["resource_usage"]
    assert usage["cpu_seconds"] > 0.05
    assert usage["cpu_percent"] > 0
    assert usage["memory_mb"] > 20


def test_a_failed_attempt_used_something_too(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 1}, "max_retries": 0})
    bench.work(task_id)
    (execution,) = query.executions(bench.engine, bench.caller, task_id, PAGE).items
    assert execution["resource_usage"]["memory_mb"] > 20
