"""notification: messages reach people through real receivers, once however often the task is tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Invalid
from taskengine.domain.task import PageRequest
from taskengine.lifecycle import control, deliveries, members, query, secrets, sending
from taskengine.lifecycle.members import MemberFields
from tests.conftest import Bench
from tests.integration.lifecycle.receivers import mail_server, verified
from tests.integration.workers.peers import Peer, running_peer


@pytest.fixture
def receiver() -> Iterator[Peer]:
    """A server that takes webhooks at /hook."""
    with running_peer() as peer:
        peer.route("/hook", lambda exchange: exchange.reply(200, b"thanks"))
        yield peer


def notify(bench: Bench, **config: Any) -> UUID:
    """A notification task that was worked off."""
    (task_id,) = bench.submit({"name": "night report", "type": "notification", "config": config})
    bench.work(task_id)
    return task_id


def said(bench: Bench, peer: Peer) -> list[dict[str, Any]]:
    """What the peer's webhooks say, once they are sent."""
    sending.send_due(bench.engine)
    secret = str(deliveries.secret(bench.engine, bench.caller)["secret"])
    return [verified(request, secret) for request in peer.requests]


def test_the_shortest_config_tells_the_owner_of_the_task(bench: Bench, receiver: Peer) -> None:
    members.put(bench.engine, bench.caller, "anna", MemberFields("owner", webhook_url=receiver.url("/hook")))
    task_id = notify(bench, recipient="owner")
    [message] = said(bench, receiver)
    assert message["type"] == "notification"
    assert message["data"]["task"] == {
        "id": str(task_id), "name": "night report", "type": "notification", "run_id": None,
    }  # fmt: skip
    assert str(task_id) in message["data"]["message"]
    [queued] = bench.task(task_id)["result"]["deliveries"]
    shown = deliveries.get(bench.engine, bench.caller, UUID(queued["id"]))
    assert (shown["status"], shown["task_id"], shown["recipient"]) == ("delivered", task_id, "owner (anna)")
    assert (queued["channel"], queued["recipient"]) == ("webhook", "owner (anna)")


def test_without_an_owner_the_task_fails_and_says_what_to_do(bench: Bench) -> None:
    task = bench.task(notify(bench, recipient="owner"))
    assert (task["status"], task["last_error"]["code"]) == ("failed", "no_channel")
    assert "PUT /v1/members/{name}" in task["last_error"]["message"]
    assert task["error_count"] == 1


def test_an_unknown_recipient_is_a_permanent_error(bench: Bench) -> None:
    assert bench.task(notify(bench, recipient="zoe"))["last_error"]["code"] == "unknown_recipient"


def test_subject_message_and_data_are_rendered_and_carried(bench: Bench, receiver: Peer) -> None:
    notify(
        bench,
        recipient=receiver.url("/hook"),
        subject="Attempt {{ task.attempt }}",
        message="done\nby {{ task.id[:2] }}",
        data={"n": "{{ task.attempt }}"},
        severity="error",
    )
    [message] = said(bench, receiver)
    assert message["data"]["subject"] == "Attempt 1"
    assert (message["data"]["data"], message["data"]["severity"]) == ({"n": 1}, "error")


def test_a_task_that_is_tried_again_tells_once(bench: Bench, receiver: Peer) -> None:
    """The worker dies after the messages were queued and before the task's end is recorded."""
    task_id = notify(bench, recipient=[receiver.url("/hook"), receiver.url("/hook")])
    bench.sql("UPDATE tasks SET status = 'failed', result = NULL WHERE id = :id", id=task_id)
    control.retry(bench.engine, bench.caller, task_id)
    bench.work(task_id)
    assert bench.task(task_id)["attempt"] == 2
    assert len(said(bench, receiver)) == 1


def test_all_of_a_group_are_told_and_who_cannot_be_is_logged(bench: Bench, receiver: Peer) -> None:
    for name in ("ben", "cleo"):
        members.put(bench.engine, bench.caller, name, MemberFields(webhook_url=receiver.url(f"/hook?for={name}")))
    members.put(bench.engine, bench.caller, "dora", MemberFields())
    members.put_group(bench.engine, bench.caller, "ops", ["ben", "cleo", "dora"])
    task_id = notify(bench, recipient="group:ops", message="hello")
    said(bench, receiver)
    assert sorted(request.path for request in receiver.requests) == ["/hook?for=ben", "/hook?for=cleo"]
    [attempt] = query.executions(bench.engine, bench.caller, task_id, PageRequest()).items
    [line] = query.logs(bench.engine, bench.caller, attempt["id"], PageRequest()).items
    assert "dora" in line["message"]
    [step] = query.steps(bench.engine, bench.caller, attempt["id"], PageRequest()).items
    assert (step["type"], len(step["result"])) == ("delivery", 2)


def test_three_channels_get_it_each_in_its_form(bench: Bench, receiver: Peer) -> None:
    with mail_server() as box:
        from pydantic import SecretStr

        update = {"smtp_url": SecretStr(box.url), "smtp_from": "engine@example.org"}
        bench.engine.settings = bench.engine.settings.model_copy(update=update)
        receiver.route("/chat", lambda exchange: exchange.reply(200, b"ok"))
        fields = MemberFields(
            "owner",
            email="anna@example.org",
            slack_url=receiver.url("/chat"),
            webhook_url=receiver.url("/hook"),
            channels=("webhook", "slack"),
        )
        members.put(bench.engine, bench.caller, "anna", fields)
        notify(bench, recipient="anna", subject="Sub", message="Text")
        notify(bench, recipient="anna", channels=["email"], subject="Sub", message="Text")
        sending.send_due(bench.engine)
        assert sorted(request.path for request in receiver.requests) == ["/chat", "/hook"]
        [mail] = box.messages
        assert (mail["Subject"], mail.get_content().strip()) == ("Sub", "Text")


def test_a_secret_in_a_message_is_sent_and_shown_nowhere(bench: Bench, receiver: Peer) -> None:
    secrets.put(bench.engine, bench.caller, "CODE", "sesame-open")
    secrets.put(bench.engine, bench.caller, "HOOK", receiver.url("/hook"))
    task_id = notify(bench, recipient="{{ secrets.HOOK }}", message="It is {{ secrets.CODE }}")
    [message] = said(bench, receiver)
    assert message["data"]["message"] == "It is sesame-open"
    [queued] = bench.task(task_id)["result"]["deliveries"]
    shown = str(deliveries.get(bench.engine, bench.caller, UUID(queued["id"]))) + str(bench.task(task_id))
    assert "sesame-open" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "recipient"),
        ({"recipient": ""}, "recipient"),
        ({"recipient": "owner", "channels": ["pigeon"]}, "channels"),
        ({"recipient": "owner", "message": ""}, "message"),
        ({"recipient": "owner", "severity": "loud"}, "severity"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(bench: Bench, config: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"type": "notification", "config": config})
    assert field in caught.value.errors[0].loc
