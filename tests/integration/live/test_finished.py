"""Clients that wait for a task wake when it ends, with Redis or without."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import redis

from taskengine.domain.errors import NotFound
from taskengine.domain.ids import new_id
from taskengine.lifecycle import wait as waiting
from taskengine.live.finished import Finishes, announce
from tests.conftest import Bench
from tests.servers import Servers


def until(true: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.02)


def test_a_waiter_wakes_when_its_task_ends(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    answers: list[str] = []
    began = time.monotonic()
    thread = threading.Thread(
        target=lambda: answers.append(waiting.wait(bench.engine, bench.caller, task_id, 30)["status"])
    )
    thread.start()
    until(bench.engine.finishes._listening.is_set)
    bench.work(task_id)
    thread.join(10)
    assert answers == ["completed"]
    assert time.monotonic() - began < 10


def test_a_final_task_is_answered_at_once_and_an_unfinished_one_in_time(bench: Bench) -> None:
    done, open_ = bench.submit({}, {})
    bench.work(done)
    assert waiting.wait(bench.engine, bench.caller, done, 30)["status"] == "completed"
    assert waiting.wait(bench.engine, bench.caller, open_, 0.2)["status"] == "queued"
    with pytest.raises(NotFound):
        waiting.wait(bench.engine, bench.caller, uuid4(), 30)
    assert bench.engine.finishes._waiters == {}


def test_only_those_whose_task_ended_are_woken(servers: Servers) -> None:
    client = redis.Redis.from_url(servers.redis_url)
    finishes = Finishes(client)
    # The first waiter is woken by the subscription itself.
    first = new_id()
    listening = finishes.register(first)
    assert listening.wait(10)
    finishes.forget(listening, first)
    ids = [new_id() for _ in range(3)]
    events = [finishes.register(task_id) for task_id in ids]
    twin = finishes.register(ids[0])
    announce(client, [{"id": ids[0]}, {"id": ids[1], "status": "completed"}])
    assert events[0].wait(10)
    assert events[1].wait(10)
    assert twin.wait(10)
    assert not events[2].is_set()
    assert (events[0].end, events[1].end) == (None, {"id": str(ids[1]), "status": "completed"})
    for task_id, event in zip([*ids, ids[0]], [*events, twin], strict=True):
        finishes.forget(event, task_id)
    assert finishes._waiters == {}
    finishes.close()
    client.close()


def test_without_redis_waiters_look_for_themselves() -> None:
    client = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    finishes = Finishes(client)
    event = finishes.register(new_id())
    assert event.wait(10)
    finishes.close()
    client.close()


def test_what_a_waiter_hears_is_what_the_record_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_FIRST_LOOK_SECONDS", 30)
    (task_id,) = bench.submit({"config": {"message": {"a": [1, None]}}})
    heard: list[dict[str, Any]] = []
    made = bench.task(task_id)
    thread = threading.Thread(
        target=lambda: heard.append(waiting.wait(bench.engine, bench.caller, task_id, 30, made=made))
    )
    thread.start()
    until(bench.engine.finishes._listening.is_set)
    bench.work(task_id)
    thread.join(10)
    assert heard == [bench.task(task_id)]
