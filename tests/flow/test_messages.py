"""Notifications and reminders through a whole installation whose parts are killed and flushed: each arrives."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.lifecycle.receivers import verified
from tests.integration.workers.peers import Exchange, Peer, running_peer
from tests.stack import Stack, eventually

WORKER = "worker-integration"


@pytest.fixture
def receiver() -> Iterator[Peer]:
    """A server that takes webhooks at /hook."""
    with running_peer() as peer:
        peer.route("/hook", lambda exchange: exchange.reply(200, b"thanks"))
        yield peer


def said(stack: Stack, peer: Peer) -> list[dict[str, Any]]:
    """What arrived, each with a signature that holds."""
    secret = stack.get("/v1/webhook-secret")["secret"]
    return [verified(request, secret) for request in peer.requests]


def deliveries(stack: Stack, task_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = stack.get(f"/v1/deliveries?task_id={task_id}")["items"]
    return items


def delivered(stack: Stack, task_id: str) -> dict[str, Any]:
    """The one message of a task, once it has arrived."""

    def look() -> list[dict[str, Any]]:
        return [item for item in deliveries(stack, task_id) if item["status"] == "delivered"]

    [delivery] = eventually(look, 60, f"the message of {task_id} arrives")
    return delivery


def test_a_worker_killed_in_mid_send_loses_nothing(stack: Stack, receiver: Peer) -> None:
    arrived = threading.Event()

    def hang(exchange: Exchange) -> None:
        arrived.set()
        exchange.stall()

    receiver.route("/hook", hang)
    task = stack.submit({"type": "notification", "config": {"recipient": receiver.url("/hook")}}, wait=30)
    assert task["status"] == "completed", task["last_error"]
    assert arrived.wait(30)
    stack.kill(WORKER)
    receiver.route("/hook", lambda exchange: exchange.reply(200))
    stack.start(WORKER)
    delivery = delivered(stack, task["id"])
    attempts = stack.get(f"/v1/deliveries/{delivery['id']}")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["lost", "delivered"]
    assert Counter(request.headers["webhook-id"] for request in receiver.requests) == {
        f"msg_{delivery['id'].replace('-', '')}": 2
    }


def test_a_redis_that_is_wiped_loses_nothing_and_doubles_nothing(stack: Stack, receiver: Peer) -> None:
    release = threading.Event()

    def slow(exchange: Exchange) -> None:
        release.wait(30)
        exchange.reply(200)

    receiver.route("/hook", slow)
    config = {"recipient": receiver.url("/hook")}
    ids = stack.submit_batch([{"type": "notification", "config": config | {"message": str(n)}} for n in range(30)])
    eventually(lambda: len(receiver.requests) >= 8, 60, "the workers are busy sending")
    # Receivers that hang keep no task waiting.
    assert stack.submit({}, wait=20)["status"] == "completed"
    for _ in range(3):
        stack.servers.flush()
    release.set()
    eventually(lambda: len(receiver.requests) >= 30, 60, "all arrive")
    for task_id in ids:
        delivered(stack, task_id)
    messages = Counter(message["data"]["message"] for message in said(stack, receiver))
    assert messages == Counter(str(n) for n in range(30))


def test_reminders_outlive_the_processes_and_fire_once_at_their_time(stack: Stack, receiver: Peer) -> None:
    def remind(what: str, **distance: float) -> tuple[str, datetime]:
        time = datetime.now(UTC) + timedelta(**distance)
        config = {"reminderTime": time.isoformat(), "reminderMessage": what, "recipient": receiver.url("/hook")}
        return str(stack.submit({"type": "reminder", "config": config})["id"]), time

    soon, time = remind("soon", seconds=10)
    moved, _ = remind("moved", hours=1)
    dropped, _ = remind("dropped", seconds=10)
    stack.kill("beat", "worker-control", WORKER)
    config = stack.task(moved)["config"] | {"reminderTime": time.isoformat()}
    assert stack.call("PATCH", f"/v1/tasks/{moved}", {"config": config}).status_code == 200
    stack.post(f"/v1/tasks/{dropped}/cancel", {"reason": "not needed"})
    stack.servers.flush()
    stack.start("beat", "worker-control", WORKER)

    eventually(
        lambda: {item["data"]["message"] for item in said(stack, receiver)} == {"soon", "moved"}, 60, "they fire"
    )
    for task_id in (soon, moved):
        delivery = delivered(stack, task_id)
        assert datetime.fromisoformat(delivery["created_at"]) >= time
    assert stack.task(dropped)["status"] == "cancelled"
    assert deliveries(stack, dropped) == []
    assert len(receiver.requests) == 2
