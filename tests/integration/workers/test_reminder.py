"""reminder: fires at its time, once; may be moved and cancelled; a time that has passed is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Invalid
from taskengine.domain.task import PageRequest, TaskChanges
from taskengine.lifecycle import cancel, deliveries, edit, recover, sending
from tests.conftest import Bench
from tests.integration.lifecycle.receivers import verified
from tests.integration.workers.peers import Peer, running_peer

MESSAGE = "Follow up with client about proposal"


@pytest.fixture
def receiver() -> Iterator[Peer]:
    """A server that takes webhooks at /hook."""
    with running_peer() as peer:
        peer.route("/hook", lambda exchange: exchange.reply(200, b"thanks"))
        yield peer


def at(**distance: float) -> str:
    """A time from now on."""
    return (datetime.now(UTC) + timedelta(**distance)).isoformat()


def remind(bench: Bench, peer: Peer, time: str, **config: Any) -> UUID:
    """A reminder that was set."""
    fields = {"reminderTime": time, "reminderMessage": MESSAGE, "recipient": peer.url("/hook")} | config
    return bench.submit({"name": "follow up", "type": "reminder", "config": fields})[0]


def let_time_pass(bench: Bench, task_id: UUID) -> None:
    """Its time comes: what the record holds of it lies in the past now."""
    bench.sql("UPDATE tasks SET run_at = now() - interval '1 second' WHERE id = :id", id=task_id)
    past = at(seconds=-1)
    bench.sql(
        "UPDATE tasks SET config = jsonb_set(config::jsonb, '{reminderTime}', to_jsonb(CAST(:past AS text)))::json"
        " WHERE id = :id AND config ->> 'reminderTime' NOT LIKE '%{{%'",
        id=task_id,
        past=past,
    )
    recover.release_due(bench.engine)


def sent(bench: Bench, peer: Peer) -> list[dict[str, Any]]:
    """What the peer's webhooks say, once they are sent."""
    sending.send_due(bench.engine)
    secret = str(deliveries.secret(bench.engine, bench.caller)["secret"])
    return [verified(request, secret) for request in peer.requests]


def test_a_reminder_waits_for_its_time_without_a_worker_and_fires_once(bench: Bench, receiver: Peer) -> None:
    time = at(hours=1)
    task_id = remind(bench, receiver, time)
    task = bench.task(task_id)
    assert task["status"] == "deferred"
    assert task["scheduled_for"] == datetime.fromisoformat(time)
    recover.release_due(bench.engine)
    assert bench.task(task_id)["status"] == "deferred"

    let_time_pass(bench, task_id)
    assert bench.task(task_id)["status"] == "queued"
    bench.work(task_id)
    bench.work(task_id)
    [message] = sent(bench, receiver)
    assert (message["type"], message["data"]["message"]) == ("reminder", MESSAGE)
    assert bench.task(task_id)["status"] == "completed"


def test_the_example_as_it_was_spelled_is_taken_while_its_time_lies_ahead(bench: Bench) -> None:
    config = {"reminderTime": "2999-12-15T10:00:00Z", "reminderMessage": MESSAGE, "recipient": "owner"}
    (task_id,) = bench.submit({"type": "reminder", "config": config})
    assert bench.task(task_id)["config"] == config


@pytest.mark.parametrize("spelling", ["reminderTime", "reminder_time"])
def test_a_time_that_has_passed_is_refused(bench: Bench, spelling: str) -> None:
    config = {spelling: "2024-12-15T10:00:00Z", "reminderMessage": MESSAGE, "recipient": "owner"}
    with pytest.raises(Invalid) as caught:
        bench.submit({"type": "reminder", "config": config})
    [fault] = caught.value.errors
    assert (fault.loc[1:], fault.type) == (("config", "reminderTime"), "in_the_past")


def test_a_time_that_has_passed_is_taken_where_that_is_wanted(bench: Bench, receiver: Peer) -> None:
    task_id = remind(bench, receiver, "2024-12-15T10:00:00Z", allowPast=True)
    assert bench.task(task_id)["status"] == "queued"
    bench.work(task_id)
    assert len(sent(bench, receiver)) == 1


def test_a_reminder_is_moved_both_ways(bench: Bench, receiver: Peer) -> None:
    task_id = remind(bench, receiver, at(hours=1))
    config = dict(bench.task(task_id)["config"])
    for time in (at(hours=2), at(minutes=1)):
        changes = TaskChanges.model_validate({"config": config | {"reminderTime": time}})
        moved = edit.update(bench.engine, bench.caller, task_id, changes)
        assert moved["scheduled_for"] == datetime.fromisoformat(time)
        [row] = bench.sql("SELECT run_at FROM tasks WHERE id = :id", id=task_id)
        assert row.run_at == datetime.fromisoformat(time)
    past = TaskChanges.model_validate({"config": config | {"reminderTime": at(hours=-1)}})
    with pytest.raises(Invalid) as caught:
        edit.update(bench.engine, bench.caller, task_id, past)
    assert caught.value.errors[0].type == "in_the_past"


def test_a_cancelled_reminder_does_not_fire(bench: Bench, receiver: Peer) -> None:
    task_id = remind(bench, receiver, at(hours=1))
    cancel.cancel(bench.engine, bench.caller, task_id, "not needed")
    let_time_pass(bench, task_id)
    assert bench.work(task_id) == 0
    assert sent(bench, receiver) == []
    assert deliveries.listing(bench.engine, bench.caller, deliveries.Wanted(), PageRequest()).items == []


def test_a_time_out_of_a_template_is_waited_for_without_a_worker(bench: Bench, receiver: Peer) -> None:
    task_id = remind(bench, receiver, "{{ input.when }}")
    bench.sql(
        "UPDATE tasks SET input = CAST(:input AS json) WHERE id = :id", id=task_id, input=f'{{"when": "{at(hours=1)}"}}'
    )
    bench.work(task_id)
    task = bench.task(task_id)
    assert (task["status"], task["error_count"]) == ("waiting_input", 0)
    assert sent(bench, receiver) == []

    bench.sql(
        "UPDATE tasks SET input = CAST(:input AS json) WHERE id = :id",
        id=task_id,
        input=f'{{"when": "{at(hours=-1)}"}}',
    )
    let_time_pass(bench, task_id)
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "completed"
    assert len(sent(bench, receiver)) == 1
