"""From the line to the broker: windows, priorities, turns between organizations, packs, and a broker that is away."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from taskengine.broker.publish import BrokerDown, Message
from taskengine.domain.task import Caller, TaskChanges, TaskSpec
from taskengine.lifecycle import control, dispatch, edit, keys, queues, recover
from taskengine.lifecycle.submit import submit
from taskengine.store import outbox
from tests.conftest import Bench

QUEUE = "integration"
HEAVY = {"config": {"sleep_seconds": 1}}


def sent(bench: Bench, queue: str = QUEUE) -> list[list[UUID]]:
    """The tasks of each message that waits in the broker, in the order in which workers take them."""
    messages: list[list[UUID]] = []
    for step in range(5):
        name = queue if step == 0 else f"{queue}\x06\x16{step}"
        for raw in reversed(bench.engine.redis.lrange(name, 0, -1)):
            body = json.loads(base64.b64decode(json.loads(raw)["body"]))
            messages.append([UUID(task_id) for task_id, _ in body[0][0]])
    return messages


def swallow(bench: Bench) -> None:
    """The broker forgets everything."""
    bench.engine.redis.flushall()


def other(bench: Bench, name: str = "other") -> Caller:
    keys.add_organization(bench.engine, name)
    return keys.local_caller(bench.engine, name)


def quietly(bench: Bench) -> None:
    """Let nothing go out before the test looks at the line."""
    queues.pause(bench.engine, bench.caller, QUEUE)


def pick(bench: Bench, room: int, pack: int = 1) -> list[Any]:
    with bench.engine.db.autocommit() as conn:
        rows = outbox.pick(conn, QUEUE, room=room, pack=pack, alive=30)
    return sorted(rows, key=lambda row: (-row.priority, row.turn, -row.urgency, row.task_id))


@contextmanager
def broker_down(bench: Bench) -> Iterator[None]:
    def refuse(*_: Any) -> Any:
        raise BrokerDown("away")

    publisher = bench.engine.publisher
    kept = publisher.publish, publisher.waiting
    publisher.publish = publisher.waiting = refuse  # type: ignore[method-assign,assignment] # the real outage is tested in faults
    try:
        yield
    finally:
        publisher.publish, publisher.waiting = kept  # type: ignore[method-assign] # put back


def test_a_single_task_goes_out_at_once(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    assert sent(bench) == [[task_id]]


def test_a_message_carries_ids_and_attempts_only(bench: Bench) -> None:
    bench.submit({"config": {"message": "the payload"}})
    (raw,) = bench.engine.redis.lrange(f"{QUEUE}\x06\x163", 0, -1)
    assert b"payload" not in raw


def test_few_messages_are_in_flight_however_many_wait(bench: Bench) -> None:
    bench.submit(*(HEAVY for _ in range(50)))
    assert len(sent(bench)) == bench.engine.settings.inflight_messages
    assert dispatch.dispatch(bench.engine, QUEUE) == 0


def test_a_taken_message_makes_room_for_the_next(bench: Bench) -> None:
    ids = bench.submit(*(HEAVY for _ in range(10)))
    (first, *_) = sent(bench)
    for step in range(5):
        bench.engine.redis.rpop(QUEUE if step == 0 else f"{QUEUE}\x06\x16{step}")
    assert dispatch.dispatch(bench.engine, QUEUE) == 1
    assert first == [ids[0]]


def test_small_tasks_share_messages(bench: Bench) -> None:
    quietly(bench)
    ids = bench.submit(*({} for _ in range(100)))
    queues.resume(bench.engine, bench.caller, QUEUE)
    messages = sent(bench)
    assert len(messages) == bench.engine.settings.inflight_messages
    assert [task_id for message in messages for task_id in message] == ids


def test_priorities_go_before_turns_and_urgency_before_age(bench: Bench) -> None:
    quietly(bench)
    names = ["low", "normal", "high", "urgent", "critical"]
    ids = bench.submit(
        *({"priority": name, **HEAVY} for name in names), {"priority": "low", "urgency": "urgent", **HEAVY}
    )
    (theirs,) = submit(
        bench.engine, other(bench), [TaskSpec(name="x", type="echo", config=HEAVY["config"], priority="high")]
    )
    bench.sql("UPDATE queues SET paused = false")
    picked = [row.task_id for row in pick(bench, 10)]
    assert picked[:2] == [ids[4], ids[3]]
    assert set(picked[2:4]) == {ids[2], theirs}
    assert picked[4:] == [ids[1], ids[5], ids[0]]


def test_a_flood_of_one_organization_does_not_hold_up_another(bench: Bench) -> None:
    quietly(bench)
    for _ in range(2):
        bench.submit(*(HEAVY for _ in range(10_000)))
    (theirs,) = submit(bench.engine, other(bench), [TaskSpec(name="x", type="echo", config=HEAVY["config"])])
    bench.sql("UPDATE queues SET paused = false")
    assert theirs in {row.task_id for row in pick(bench, 2)}


def test_organizations_take_turns(bench: Bench) -> None:
    quietly(bench)
    bench.submit(*(HEAVY for _ in range(6)))
    callers = [other(bench, "b"), other(bench, "c")]
    for caller in callers:
        submit(bench.engine, caller, [TaskSpec(name="x", type="echo", config=HEAVY["config"]) for _ in range(6)])
    bench.sql("UPDATE queues SET paused = false")
    rows = {row.task_id: row.organization_id for row in bench.sql("SELECT task_id, organization_id FROM outbox")}
    picked = [rows[row.task_id] for row in pick(bench, 9)]
    assert all(len(set(picked[start : start + 3])) == 3 for start in (0, 3, 6))


def test_the_window_counts_a_pack_as_one_message(bench: Bench) -> None:
    quietly(bench)
    bench.submit(*({} for _ in range(30)), *(HEAVY for _ in range(5)))
    bench.sql("UPDATE queues SET paused = false")
    picked = pick(bench, room=2, pack=10)
    assert sum(row.light for row in picked) == 20


def test_messages_are_formed_in_order_and_packs_are_spread_over_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class Row:
        def __init__(self, number: int, priority: int = 2, *, light: bool = True) -> None:
            self.task_id, self.attempt, self.priority = UUID(int=number), 1, priority
            self.urgency, self.light, self.turn, self.sent_to = 0, light, number, None

    monkeypatch.setattr(dispatch, "_LEAST_PACK", 2)
    rows = [Row(1), Row(2, light=False), Row(3), Row(4), Row(5, priority=5, light=False)]
    messages = dispatch.form(QUEUE, rows, room=2, pack_size=10)
    assert [[task_id.int for task_id, _ in message.attempts] for message in messages] == [[5], [1, 3], [2], [4]]
    assert messages[0].priority == 5
    assert dispatch.form(QUEUE, [], room=1, pack_size=10) == []
    assert [len(item.attempts) for item in dispatch.form(QUEUE, [Row(n) for n in range(7)], 1, 3)] == [3, 3, 1]


def test_a_paused_queue_sends_and_claims_nothing(bench: Bench) -> None:
    (before,) = bench.submit({})
    swallow(bench)
    assert queues.pause(bench.engine, bench.caller, QUEUE)["in_flight"] == 0
    assert bench.work(before) == 0
    (after,) = bench.submit({})
    assert bench.statuses([before, after]) == ["queued", "queued"]
    assert pick(bench, 10) == []
    assert queues.resume(bench.engine, bench.caller, QUEUE)["in_flight"] == 2
    assert bench.work(before, after) == 2


def test_with_the_broker_away_tasks_are_accepted_and_go_out_later(bench: Bench) -> None:
    with broker_down(bench):
        (fast,) = bench.submit({})
        slow = bench.submit(*({} for _ in range(20)))
        assert dispatch.dispatch(bench.engine, QUEUE) == 0
    assert sent(bench) == []
    bench.sql("UPDATE outbox SET published_at = published_at - interval '1 minute'")
    assert recover.ring_again(bench.engine) == 1
    assert recover.dispatch_lines(bench.engine) == 21
    assert {task_id for message in sent(bench) for task_id in message} == {fast, *slow}


def test_picked_tasks_go_back_in_line_when_the_broker_fails(bench: Bench) -> None:
    quietly(bench)
    bench.submit({}, {})
    bench.sql("UPDATE queues SET paused = false")
    publisher = bench.engine.publisher

    def refuse(messages: list[Message]) -> None:
        raise BrokerDown("away")

    publisher.publish = refuse  # type: ignore[method-assign,assignment] # the real outage is tested in faults
    assert dispatch.dispatch(bench.engine, QUEUE) == 0
    assert bench.sql("SELECT FROM outbox WHERE published_at IS NOT NULL") == []


def test_lost_messages_are_rung_again(bench: Bench) -> None:
    ids = bench.submit({}, {})
    swallow(bench)
    assert recover.ring_again(bench.engine) == 0
    bench.sql("UPDATE outbox SET published_at = published_at - interval '1 second'")
    assert recover.ring_again(bench.engine) == 2
    recover.dispatch_lines(bench.engine)
    assert {task_id for message in sent(bench) for task_id in message} == set(ids)


def test_messages_that_still_wait_are_not_rung_again_soon(bench: Bench) -> None:
    bench.submit({}, {})
    bench.sql("UPDATE outbox SET published_at = published_at - interval '1 second'")
    assert recover.ring_again(bench.engine) == 0


def test_with_the_broker_away_nothing_is_rung_again(bench: Bench) -> None:
    bench.submit({})
    bench.sql("UPDATE outbox SET published_at = published_at - interval '1 hour'")
    with broker_down(bench):
        assert recover.ring_again(bench.engine) == 0
    assert bench.sql("SELECT FROM outbox WHERE published_at IS NULL") == []


def test_a_changed_priority_sends_a_task_anew(bench: Bench) -> None:
    (task_id,) = bench.submit(HEAVY)
    swallow(bench)
    edit.update(bench.engine, bench.caller, task_id, TaskChanges(priority="critical"))
    (raw,) = bench.engine.redis.lrange(QUEUE, 0, -1)
    assert str(task_id).encode() in base64.b64decode(json.loads(raw)["body"])
    assert bench.work(task_id) == 1


def test_a_failing_dispatch_does_not_fail_what_was_committed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    (task_id,) = bench.submit({"execution_type": "manual"})
    monkeypatch.setattr(outbox, "pick", broken)
    assert control.execute(bench.engine, bench.caller, task_id)["status"] == "queued"
