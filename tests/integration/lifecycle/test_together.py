"""Many at once, and servers that go away in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis

from taskengine.domain.errors import Conflict, IdempotencyConflict, Unavailable
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.task import PageRequest, TaskChanges, TaskFilter
from taskengine.handlers.base import Context
from taskengine.lifecycle import cancel, control, edit, idempotency, query
from taskengine.lifecycle.claim import claim
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.idempotency import StoredAnswer
from taskengine.lifecycle.run import run
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import Probe, ProbeConfig, events, take
from tests.servers import Servers


def at_once(*duties: Callable[[], Any]) -> list[Any]:
    """Run all at the same time; their results, or what they raised."""
    gate = threading.Barrier(len(duties))

    def begin(duty: Callable[[], Any]) -> Any:
        gate.wait()
        return duty()

    with ThreadPoolExecutor(len(duties)) as pool:
        return [future.result() for future in [pool.submit(begin, duty) for duty in duties]]


def post(bench: Bench, ran: list[int], body: bytes = b"body", route: str = "POST /v1/tasks") -> bytes:
    """A POST with an Idempotency-Key, as the API does it."""
    with bench.engine.db.begin():
        stored = idempotency.lookup(bench.engine, bench.caller, "key", route, body)
        if stored is not None:
            return stored.body
        (task_id,) = bench.submit({})
        ran.append(1)
        answer = StoredAnswer(201, {"Location": "x"}, str(task_id).encode())
        idempotency.store(bench.engine, bench.caller, "key", route, body, answer)
        return answer.body


def test_of_two_equal_requests_at_the_same_time_one_runs(bench: Bench) -> None:
    ran: list[int] = []
    first, second = at_once(lambda: post(bench, ran), lambda: post(bench, ran))
    assert first == second
    assert ran == [1]
    assert post(bench, ran) == first
    assert bench.sql("SELECT count(*) AS n FROM tasks")[0].n == 1


def test_a_key_is_for_one_request_only(bench: Bench) -> None:
    post(bench, [])
    with pytest.raises(IdempotencyConflict):
        post(bench, [], body=b"other")
    with pytest.raises(IdempotencyConflict):
        post(bench, [], route="POST /v1/other")


def test_a_request_that_failed_leaves_its_key_free(bench: Bench) -> None:
    with pytest.raises(RuntimeError), bench.engine.db.begin():
        post(bench, [])
        raise RuntimeError("later")
    assert bench.sql("SELECT count(*) AS n FROM tasks")[0].n == 0
    ran: list[int] = []
    post(bench, ran)
    assert ran == [1]


def test_many_submit_and_claim_at_once_and_each_task_runs_once(bench: Bench) -> None:
    ids: list[UUID] = []

    def submits() -> None:
        for _ in range(5):
            ids.extend(bench.submit(*({} for _ in range(10))))

    at_once(*(submits for _ in range(4)))
    messages = [(task_id, 1) for task_id in ids]
    recorded = []

    def works(order: int) -> None:
        for start in range(0, len(messages), 20):
            pack = messages[start : start + 20][::order]
            claimed, _ = claim(bench.engine, pack, f"w{order}")
            recorded.append(finish(bench.engine, [run(bench.engine, bench.watch, item) for item in claimed]))

    at_once(lambda: works(1), lambda: works(-1), lambda: works(1), lambda: works(-1))
    assert sum(recorded) == len(ids) == 200
    assert {row.n for row in bench.sql("SELECT count(*) AS n FROM executions GROUP BY task_id")} == {1}


def test_claims_cancels_changes_and_new_dependents_do_not_deadlock(bench: Bench) -> None:
    for _ in range(8):
        ids = bench.submit(*({} for _ in range(12)))
        names = [str(task_id) for task_id in ids]

        def works(order: int, ids: list[UUID] = ids) -> None:
            claimed, _ = claim(bench.engine, [(task_id, 1) for task_id in ids[::order]], "w")
            finish(bench.engine, [run(bench.engine, bench.watch, item) for item in claimed])

        def depends(names: list[str] = names) -> None:
            bench.submit({"depends_on": names[::-1]})

        def meddles(ids: list[UUID] = ids) -> None:
            for task_id in ids:
                for verb in (_change, _cancel):
                    verb(bench, task_id)

        # A deadlock would surface as Unavailable from one of them.
        at_once(partial(works, 1), partial(works, -1), depends, meddles)
    assert not bench.sql("SELECT FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0")


def _change(bench: Bench, task_id: UUID) -> None:
    with suppress(Conflict):
        edit.update(bench.engine, bench.caller, task_id, TaskChanges(priority="high"))


def _cancel(bench: Bench, task_id: UUID) -> None:
    with suppress(Conflict):
        cancel.cancel(bench.engine, bench.caller, task_id, None)


def test_two_that_retry_at_once_make_one_attempt(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 1}, "max_retries": 0})
    bench.work(task_id)

    def retries() -> str:
        try:
            return str(control.retry(bench.engine, bench.caller, task_id)["status"])
        except Conflict as error:
            return error.code

    assert sorted(at_once(retries, retries)) == ["invalid_transition", "queued"]
    assert events(bench, task_id).count("retried") == 1


def test_a_finish_waits_out_a_restart_of_the_database(bench: Bench, probe: Probe, servers: Servers) -> None:
    (task_id,) = bench.submit({"config": {"log_lines": 3}})
    ended = [run(bench.engine, bench.watch, item) for item in take(bench, task_id)]
    servers.postgres.stop()
    finishing = threading.Thread(target=finish, args=[bench.engine, ended])
    finishing.start()
    try:
        with pytest.raises(Unavailable):
            bench.task(task_id)
    finally:
        servers.postgres.start()
    finishing.join(20)
    assert not finishing.is_alive()
    assert bench.task(task_id)["status"] == "completed"
    assert bench.sql("SELECT count(*) AS n FROM execution_logs")[0].n == 3


def test_a_handler_may_log_while_the_database_is_away(bench: Bench, probe: Probe, servers: Servers) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        servers.postgres.stop()
        try:
            for number in range(600):
                ctx.log(str(number))
            ctx.progress(0.5)
        finally:
            servers.postgres.start()
        return Succeeded(None)

    probe.does = does
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.work(task_id)
    assert (bench.task(task_id)["status"], bench.task(task_id)["error_count"]) == ("completed", 0)
    assert bench.sql("SELECT count(*) AS n FROM execution_logs")[0].n == 600


def test_pages_hold_still_while_tasks_are_added(bench: Bench) -> None:
    ids = bench.submit(*({} for _ in range(5)))
    first = query.tasks(bench.engine, bench.caller, TaskFilter(), PageRequest(limit=2))
    bench.submit({}, {})
    rest = query.tasks(bench.engine, bench.caller, TaskFilter(), PageRequest(limit=5, cursor=first.next_cursor))
    assert [item["id"] for item in first.items + rest.items] == ids[::-1]


def test_a_redis_that_is_away_delays_only_those_who_wait(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    kept, bench.engine.redis = bench.engine.redis, redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    ended = [run(bench.engine, bench.watch, item) for item in take(bench, task_id)]
    assert finish(bench.engine, ended) == 1
    bench.engine.redis.close()
    bench.engine.redis = kept
    assert bench.task(task_id)["status"] == "completed"
