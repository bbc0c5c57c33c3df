"""Messages that Redis lost: only their tasks are rung for again, however busy the queue is."""

from __future__ import annotations

import redis

from taskengine.lifecycle import recover
from tests.conftest import Bench

ALONE = {"config": {"sleep_seconds": 0.01}}
"""Travels in a message of its own."""


def _age(bench: Bench) -> None:
    bench.sql("UPDATE outbox SET published_at = published_at - interval '1 minute' WHERE published_at IS NOT NULL")


def test_only_the_task_whose_message_is_gone_is_rung_again(bench: Bench) -> None:
    gone, waiting = bench.submit({"priority": "critical", **ALONE}, {"priority": "low", **ALONE})
    assert bench.engine.publisher.held(["integration"]) == {gone, waiting}
    assert bench.engine.redis.rpop("integration") is not None
    assert bench.engine.publisher.held(["integration"]) == {waiting}
    _age(bench)
    assert recover.ring_again(bench.engine) == 1
    recover.dispatch_lines(bench.engine)
    assert bench.engine.publisher.held(["integration"]) == {gone, waiting}
    assert bench.engine.publisher.waiting("integration") == 2


def test_a_task_that_was_published_just_now_is_left_alone(bench: Bench) -> None:
    bench.submit({})
    bench.engine.redis.flushall()
    assert recover.ring_again(bench.engine) == 0


def test_what_a_pack_carries_is_seen_too(bench: Bench) -> None:
    ids = bench.submit(*({} for _ in range(20)))
    assert bench.engine.publisher.held(["integration"]) == set(ids)
    _age(bench)
    assert recover.ring_again(bench.engine) == 0


def test_strangers_in_the_list_are_passed_over(bench: Bench) -> None:
    for raw in (b"", b"{}", b"[]", b'{"headers": {"task": "taskengine.run"}, "body": "x"}'):
        bench.engine.redis.lpush("integration", raw)
    bench.engine.publisher.canaries(["integration"])
    (task_id,) = bench.submit({})
    assert bench.engine.publisher.held(["integration"]) == {task_id}


def test_without_redis_nothing_is_put_back(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    _age(bench)
    bench.engine.publisher._redis = redis.Redis(port=1, socket_connect_timeout=1)
    assert recover.ring_again(bench.engine) == 0
    assert bench.sql("SELECT published_at FROM outbox WHERE task_id = :id", id=task_id)[0].published_at is not None
