"""Ends of tasks are told: to a webhook, and to people who asked for it, however the task ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskengine.domain.errors import Invalid
from taskengine.domain.task import PageRequest
from taskengine.lifecycle import cancel, control, deliveries, members, query, recover, sending
from taskengine.lifecycle.members import MemberFields
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import take
from tests.integration.lifecycle.receivers import verified
from tests.integration.workers.peers import Peer, running_peer


@pytest.fixture
def receiver() -> Iterator[Peer]:
    """A server that takes webhooks at /hook and at /anna."""
    with running_peer() as peer:
        for path in ("/hook", "/anna"):
            peer.route(path, lambda exchange: exchange.reply(200, b"thanks"))
        yield peer


def said(bench: Bench, peer: Peer) -> list[dict[str, Any]]:
    """What the peer's webhooks say, once they are sent, in the order of what they tell: they arrive in any."""
    sending.send_due(bench.engine)
    secret = str(deliveries.secret(bench.engine, bench.caller)["secret"])
    return sorted((verified(request, secret) for request in peer.requests), key=lambda message: message["timestamp"])


def anna_owns(bench: Bench, peer: Peer) -> None:
    members.put(bench.engine, bench.caller, "anna", MemberFields("owner", webhook_url=peer.url("/anna")))


def test_a_completed_task_is_told_as_clients_see_it(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit({"webhook_url": receiver.url("/hook"), "tags": ["a"]})
    assert said(bench, receiver) == []
    bench.work(task_id)
    [message] = said(bench, receiver)
    assert message["type"] == "task.completed"
    task = message["data"]["task"]
    assert (task["id"], task["status"], task["result"]) == (str(task_id), "completed", {"message": "hello"})
    assert set(task) == set(bench.task(task_id))
    assert message["data"]["severity"] == "success"


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"config": {"fail_times": 9}, "max_retries": 0}, "task.failed"),
        ({"config": {"log_lines": 3}}, "task.completed"),
        ({"config": {"fail_times": 1}, "retry": {"strategy": "fixed", "delay_seconds": 0}}, "task.completed"),
    ],
)
def test_each_end_is_told_once_and_a_retry_is_no_end(
    bench: Bench, receiver: Peer, spec: dict[str, Any], kind: str
) -> None:
    (task_id,) = bench.submit(spec | {"webhook_url": receiver.url("/hook")})
    while bench.task(task_id)["completed_at"] is None:
        recover.release_due(bench.engine)
        bench.work(task_id)
    assert [message["type"] for message in said(bench, receiver)] == [kind]


def test_ends_that_no_worker_makes_are_told_too(bench: Bench, receiver: Peer) -> None:
    told = {"webhook_url": receiver.url("/hook")}
    (cancelled,) = bench.submit(told | {"execution_type": "manual"})
    cancel.cancel(bench.engine, bench.caller, cancelled, "because")
    (failed,) = bench.submit({"config": {"fail_times": 1}, "max_retries": 0})
    (waits,) = bench.submit(told | {"depends_on": [str(failed)]})
    bench.work(failed)
    (late,) = bench.submit(told | {"depends_on": [str(failed)]})
    (lost,) = bench.submit(told)
    take(bench, lost)
    bench.sql("UPDATE tasks SET lost_count = 2 WHERE id = :id", id=lost)
    bench.sql("UPDATE executions SET lease_until = now() - interval '1 second' WHERE status = 'running'")
    recover.give_up_lost(bench.engine)
    types = {message["data"]["task"]["id"]: message["type"] for message in said(bench, receiver)}
    assert types == {
        str(cancelled): "task.cancelled",
        str(waits): "task.skipped",
        str(late): "task.skipped",
        str(lost): "task.failed",
    }


def test_an_expansion_is_told_once_and_its_children_are_not(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit(
        {
            "webhook_url": receiver.url("/hook"),
            "config": {"message": "{{ item }}"},
            "input": {"items": [1, 2]},
            "expansion_config": {"type": "array", "array_mapping": {"item": "items"}},
        }
    )
    children = [row.id for row in bench.sql("SELECT id FROM tasks WHERE parent_id = :id", id=task_id)]
    bench.work(*children)
    [message] = said(bench, receiver)
    assert message["data"]["task"]["id"] == str(task_id)


def test_people_are_told_of_the_ends_that_they_asked_for(bench: Bench, receiver: Peer) -> None:
    anna_owns(bench, receiver)
    broken = {"config": {"fail_times": 1}, "max_retries": 0}
    ids = bench.submit(
        {"name": "a", "notify_on_complete": True},
        {"name": "b", "notify_on_failure": True},
        {"name": "c", "notify_on_complete": True} | broken,
        {"name": "d", "notify_on_failure": True} | broken,
    )
    bench.work(*ids)
    assert sorted(message["data"]["subject"] for message in said(bench, receiver)) == ["a: completed", "d: failed"]
    assert {request.path for request in receiver.requests} == {"/anna"}
    failure = next(item for item in said(bench, receiver) if item["type"] == "task.failed")
    assert "echo_failed" in failure["data"]["message"]


def test_a_task_that_says_where_its_answers_go_is_answered_there(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit({"notify_on_complete": True, "metadata": {"reply_to": receiver.url("/hook")}})
    bench.work(task_id)
    assert [message["type"] for message in said(bench, receiver)] == ["task.completed"]


def test_a_task_that_is_done_again_ends_again(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit({"webhook_url": receiver.url("/hook"), "config": {"fail_times": 1}, "max_retries": 0})
    bench.work(task_id)
    control.retry(bench.engine, bench.caller, task_id)
    bench.work(task_id)
    assert [message["type"] for message in said(bench, receiver)] == ["task.failed", "task.completed"]


def test_a_task_that_is_cancelled_twice_before_it_began_ends_twice(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit({"webhook_url": receiver.url("/hook"), "execution_type": "manual"})
    cancel.cancel(bench.engine, bench.caller, task_id, None)
    control.retry(bench.engine, bench.caller, task_id)
    cancel.cancel(bench.engine, bench.caller, task_id, None)
    assert [message["type"] for message in said(bench, receiver)] == ["task.cancelled"] * 2


def test_a_way_back_that_leads_nowhere_is_refused_at_submit(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"notify_on_failure": True, "metadata": {"reply_to": "zoe"}})
    [fault] = caught.value.errors
    assert (fault.loc[1:], fault.type) == (("metadata", "reply_to"), "unknown_recipient")


def test_an_owner_who_left_keeps_no_task_from_its_end(bench: Bench, receiver: Peer) -> None:
    anna_owns(bench, receiver)
    (task_id,) = bench.submit({"notify_on_complete": True, "webhook_url": receiver.url("/hook")})
    members.delete(bench.engine, bench.caller, "anna")
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "completed"
    assert [request["data"]["task"]["id"] for request in said(bench, receiver)] == [str(task_id)]
    events = query.events(bench.engine, bench.caller, task_id, PageRequest()).items
    [untold] = [event for event in events if event["type"] == "task.not_told"]
    assert untold["data"]["error"]["code"] == "no_channel"


def test_large_results_stay_where_they_are(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit({"webhook_url": receiver.url("/hook"), "config": {"message": "x" * 70_000}})
    bench.work(task_id)
    [message] = said(bench, receiver)
    task = message["data"]["task"]
    assert (task["result"], task["result_too_large"]) == (None, True)


def test_a_credential_in_the_webhook_is_shown_to_nobody(bench: Bench, receiver: Peer) -> None:
    (task_id,) = bench.submit({"webhook_url": receiver.url("/hook?token=hush")})
    assert bench.task(task_id)["webhook_url"] == receiver.url("/hook?***")
    bench.work(task_id)
    said(bench, receiver)
    assert receiver.requests[0].path == "/hook?token=hush"
    assert bench.sql("SELECT id FROM tasks t WHERE t::text LIKE '%hush%'") == []
    assert bench.sql("SELECT id FROM deliveries d WHERE d::text LIKE '%hush%'") == []


def test_a_task_that_tells_nobody_is_finished_by_one_statement(bench: Bench, receiver: Peer) -> None:
    """And one that tells somebody carries its messages in the transaction of its end."""
    plain, telling = bench.submit({}, {"webhook_url": receiver.url("/hook")})
    flags = {row.id: row.has_dependents for row in bench.sql("SELECT id, has_dependents FROM tasks")}
    assert flags == {plain: False, telling: True}


@pytest.mark.parametrize("url", ["ftp://x", "https://", "example.org/hook", "https://a b", "http:///x"])
def test_a_webhook_that_is_no_url_is_refused(bench: Bench, url: str) -> None:
    with pytest.raises(ValueError, match="webhook_url"):
        bench.submit({"webhook_url": url})
