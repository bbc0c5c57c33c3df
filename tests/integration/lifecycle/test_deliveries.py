"""Messages are queued once, sent until they arrive, and lost by nobody: real receivers, real mail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from standardwebhooks import WebhookVerificationError

from taskengine.domain.errors import Conflict, PermanentError
from taskengine.domain.task import PageRequest
from taskengine.handlers.base import Notice, Reach
from taskengine.lifecycle import deliver, deliveries, members, recipients, recover, sending
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.members import MemberFields
from tests.conftest import Bench
from tests.integration.lifecycle.receivers import Mailbox, mail_server, verified
from tests.integration.workers.peers import Exchange, Peer, running_peer

NOTICE = Notice("notification", "Done", "The report is there", data={"rows": 3})


@pytest.fixture
def receiver() -> Iterator[Peer]:
    """A server that takes webhooks at /hook."""
    with running_peer() as peer:
        peer.route("/hook", lambda exchange: exchange.reply(200, b"thanks"))
        yield peer


@pytest.fixture
def mailbox(bench: Bench) -> Iterator[Mailbox]:
    """A mail server, and an engine that uses it."""
    with mail_server() as box:
        bench.engine.settings = bench.engine.settings.model_copy(
            update={"smtp_url": _secret(box.url), "smtp_from": "Engine <engine@example.org>"}
        )
        yield box


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def pauses(engine: Engine, text: str) -> None:
    engine.settings = engine.settings.model_copy(update={"delivery_delays": text})


def queued(bench: Bench, *ways: Reach, key: str = "k", notice: Notice = NOTICE) -> list[UUID]:
    about = deliver.About(bench.caller.organization_id, None, None, {"task": None}, key)
    return deliver.queue(bench.engine, about, notice, ways)


def hook(peer: Peer, path: str = "/hook") -> Reach:
    return Reach("them", "webhook", peer.url(path))


def shown(bench: Bench, delivery_id: UUID) -> dict[str, Any]:
    return deliveries.get(bench.engine, bench.caller, delivery_id)


def secret(bench: Bench) -> str:
    return str(deliveries.secret(bench.engine, bench.caller)["secret"])


def make_due(bench: Bench) -> None:
    bench.sql("UPDATE deliveries SET next_attempt_at = now() WHERE status = 'pending'")


def test_a_webhook_arrives_signed_as_the_specification_says(bench: Bench, receiver: Peer) -> None:
    [delivery_id] = queued(bench, hook(receiver))
    assert sending.send_due(bench.engine) == 1

    [request] = receiver.requests
    said = verified(request, secret(bench))
    assert said["type"] == "notification"
    assert said["data"]["message"] == "The report is there"
    assert said["data"]["data"] == {"rows": 3}
    assert request.headers["webhook-id"] == f"msg_{delivery_id.hex}"
    found = shown(bench, delivery_id)
    assert (found["status"], found["attempt"]) == ("delivered", 1)
    [attempt] = found["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["answer"]) == ("delivered", 200, "thanks")


def test_another_organizations_secret_does_not_verify(bench: Bench, receiver: Peer) -> None:
    queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    from taskengine.delivery.signing import new_secret

    with pytest.raises(WebhookVerificationError):
        verified(receiver.requests[0], new_secret())


def test_after_a_change_of_the_secret_the_old_one_still_verifies_for_a_day(bench: Bench, receiver: Peer) -> None:
    old = secret(bench)
    new = str(deliveries.set_secret(bench.engine, bench.caller, None)["secret"])
    queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    assert verified(receiver.requests[0], old) == verified(receiver.requests[0], new)

    bench.sql("UPDATE webhook_secrets SET updated_at = now() - interval '25 hours'")
    queued(bench, hook(receiver), key="later")
    sending.send_due(bench.engine)
    with pytest.raises(WebhookVerificationError):
        verified(receiver.requests[1], old)


def test_the_same_key_and_target_is_one_message(bench: Bench, receiver: Peer) -> None:
    first = queued(bench, hook(receiver))
    assert queued(bench, hook(receiver)) == first
    assert queued(bench, hook(receiver), key="other") != first
    assert sending.send_due(bench.engine) == 2
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2


def test_what_fails_is_tried_again_under_the_same_id_until_it_arrives(bench: Bench, receiver: Peer) -> None:
    answers = iter([500, 404, 302, 200])
    receiver.route("/hook", lambda exchange: exchange.reply(next(answers), b"so it is", location="/elsewhere"))
    [delivery_id] = queued(bench, hook(receiver))
    for _ in range(4):
        make_due(bench)
        sending.send_due(bench.engine)
    found = shown(bench, delivery_id)
    assert found["status"] == "delivered"
    assert [attempt["status"] for attempt in found["attempts"]] == [500, 404, 302, 200]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {f"msg_{delivery_id.hex}"}
    assert [request.path for request in receiver.requests] == ["/hook"] * 4


def test_a_connection_that_is_cut_is_tried_again(bench: Bench, receiver: Peer) -> None:
    def cut(exchange: Exchange) -> None:
        exchange.connection.shutdown(2)
        exchange.close_connection = True

    receiver.route("/hook", cut)
    [delivery_id] = queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    found = shown(bench, delivery_id)
    assert (found["status"], found["last_error"]["code"]) == ("pending", "http_connection")
    receiver.route("/hook", lambda exchange: exchange.reply(204))
    make_due(bench)
    sending.send_due(bench.engine)
    assert shown(bench, delivery_id)["status"] == "delivered"


def test_delays_grow_and_the_last_failure_is_final(bench: Bench, receiver: Peer) -> None:
    pauses(bench.engine, "10,1000")
    receiver.route("/hook", lambda exchange: exchange.reply(503))
    [delivery_id] = queued(bench, hook(receiver))
    waits = []
    for _ in range(2):
        make_due(bench)
        sending.send_due(bench.engine)
        [row] = bench.sql("SELECT extract(epoch FROM next_attempt_at - now()) AS seconds FROM deliveries")
        waits.append(float(row.seconds))
    assert 8 < waits[0] < 12 and 890 < waits[1] < 1110
    make_due(bench)
    sending.send_due(bench.engine)
    found = shown(bench, delivery_id)
    assert (found["status"], found["attempt"], found["max_attempts"]) == ("failed", 3, 3)


def test_what_the_receiver_asks_for_is_waited_for(bench: Bench, receiver: Peer) -> None:
    receiver.route("/hook", lambda exchange: exchange.reply(429, retry_after="7200"))
    queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    [row] = bench.sql("SELECT extract(epoch FROM next_attempt_at - now()) AS seconds FROM deliveries")
    assert 7100 < float(row.seconds) <= 7200


def test_the_delays_of_an_installation_span_about_a_day() -> None:
    from config.settings import Settings

    default = Settings.model_fields["delivery_delays"].default
    seconds = [float(part) for part in default.split(",")]
    assert sorted(seconds) == seconds
    assert 22 * 3600 < sum(seconds) < 26 * 3600


def test_a_receiver_that_is_gone_ends_it_at_once(bench: Bench, receiver: Peer) -> None:
    receiver.route("/hook", lambda exchange: exchange.reply(410))
    [delivery_id] = queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    assert shown(bench, delivery_id)["last_error"]["code"] == "webhook_gone"
    assert shown(bench, delivery_id)["status"] == "failed"


def test_private_addresses_are_refused_unless_allowed(bench: Bench, receiver: Peer) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"egress_allow": ""})
    [delivery_id] = queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    assert shown(bench, delivery_id)["last_error"]["code"] == "egress_refused"
    assert receiver.requests == []


def test_a_failed_one_can_be_sent_again_and_others_cannot(bench: Bench, receiver: Peer) -> None:
    receiver.route("/hook", lambda exchange: exchange.reply(410))
    [delivery_id] = queued(bench, hook(receiver))
    with pytest.raises(Conflict):
        deliveries.redrive(bench.engine, bench.caller, delivery_id)
    sending.send_due(bench.engine)
    receiver.route("/hook", lambda exchange: exchange.reply(200))
    assert deliveries.redrive(bench.engine, bench.caller, delivery_id)["status"] == "pending"
    sending.send_due(bench.engine)
    found = shown(bench, delivery_id)
    assert (found["status"], found["attempt"]) == ("delivered", 2)


def test_a_silent_senders_message_is_sent_by_another_and_the_silent_one_records_nothing(
    bench: Bench, receiver: Peer
) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def slow(exchange: Exchange) -> None:
        arrived.set()
        go_on.wait(30)
        exchange.reply(500)

    receiver.route("/hook", slow)
    [delivery_id] = queued(bench, hook(receiver))
    silent = threading.Thread(target=sending.send_due, args=(bench.engine,))
    silent.start()
    assert arrived.wait(30)
    bench.sql("UPDATE deliveries SET lease_until = now() - interval '1 second'")
    receiver.route("/hook", lambda exchange: exchange.reply(200))
    deliver.look_after(bench.engine)
    assert sending.send_due(bench.engine) == 1
    go_on.set()
    silent.join(30)

    found = shown(bench, delivery_id)
    assert found["status"] == "delivered"
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["lost", "delivered"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_the_lease_of_a_slow_send_is_renewed(bench: Bench, receiver: Peer) -> None:
    """The receiver answers once the lease that the claim gave is over."""
    arrived = threading.Event()

    def slow(exchange: Exchange) -> None:
        arrived.set()
        exchange.server.peer.over.wait(bench.engine.settings.lease_seconds * 1.2)
        exchange.reply(200)

    receiver.route("/hook", slow)
    [delivery_id] = queued(bench, hook(receiver))
    sender = threading.Thread(target=sending.send_due, args=(bench.engine,))
    sender.start()
    assert arrived.wait(30)
    while sender.is_alive():
        deliver.look_after(bench.engine)
        sender.join(0.1)
    assert [attempt["outcome"] for attempt in shown(bench, delivery_id)["attempts"]] == ["delivered"]


def test_the_tick_rings_for_what_nobody_sent_once(bench: Bench, receiver: Peer) -> None:
    queued(bench, hook(receiver))
    bench.engine.redis.flushall()
    recover.tick(bench.engine, "tester")
    recover.look_after_messages(bench.engine)
    waiting = bench.engine.redis.lrange("integration\x06\x162", 0, -1)
    assert [b"taskengine.deliver" in raw for raw in waiting] == [True]


def test_an_organization_with_many_does_not_keep_the_others_waiting(bench: Bench, receiver: Peer) -> None:
    about = deliver.About(uuid4(), None, None, {}, "flood")
    ways = [Reach("x", "webhook", receiver.url(f"/hook?n={number}")) for number in range(50)]
    deliver.queue(bench.engine, about, NOTICE, ways)
    [delivery_id] = queued(bench, hook(receiver))
    with bench.engine.db.autocommit() as conn:
        from taskengine.store import deliveries as store

        taken = [row.id for row in store.claim(conn, 4, 30)]
    assert delivery_id in taken


def test_a_reminder_goes_before_a_flood_of_its_own_organization(bench: Bench, receiver: Peer) -> None:
    ways = [Reach("x", "webhook", receiver.url(f"/hook?n={number}")) for number in range(50)]
    for number, way in enumerate(ways):
        queued(bench, way, key=f"flood {number}")
    [reminder] = queued(bench, hook(receiver), key="reminder", notice=Notice("reminder", "now", "now"))
    with bench.engine.db.autocommit() as conn:
        from taskengine.store import deliveries as store

        taken = [row.id for row in store.claim(conn, 4, 30)]
    assert reminder in taken
    assert len(taken) == 4


def test_mail_arrives_with_a_stable_id_and_no_header_of_the_senders_making(bench: Bench, mailbox: Mailbox) -> None:
    notice = Notice("notification", "Hi\r\nBcc: evil@example.org", "Zeile 1\n.\nZeile 2: größer", severity="error")
    [delivery_id] = queued(bench, Reach("anna", "email", "anna@example.org"), notice=notice)
    sending.send_due(bench.engine)
    [message] = mailbox.messages
    assert mailbox.recipients == [["anna@example.org"]]
    assert message["Subject"] == "[error] Hi Bcc: evil@example.org"
    assert message["Bcc"] is None
    assert message["From"] == "Engine <engine@example.org>"
    assert message["Message-ID"] == f"<{delivery_id.hex}@example.org>"
    assert message.get_content().replace("\r\n", "\n") == "Zeile 1\n.\nZeile 2: größer\n"


@pytest.mark.parametrize(("answer", "status"), [("550 no such user", "failed"), ("451 later", "pending")])
def test_what_the_mail_server_refuses(bench: Bench, mailbox: Mailbox, answer: str, status: str) -> None:
    mailbox.refuse = lambda address: answer
    [delivery_id] = queued(bench, Reach("anna", "email", "anna@example.org"))
    sending.send_due(bench.engine)
    found = shown(bench, delivery_id)
    assert (found["status"], found["last_error"]["code"]) == (status, "smtp_refused")


def test_a_mail_server_that_is_away_is_tried_again(bench: Bench, mailbox: Mailbox) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"smtp_url": _secret("smtp://127.0.0.1:1?tls=off")})
    [delivery_id] = queued(bench, Reach("anna", "email", "anna@example.org"))
    sending.send_due(bench.engine)
    assert shown(bench, delivery_id)["last_error"]["code"] == "smtp_connection"
    assert shown(bench, delivery_id)["status"] == "pending"


def test_a_server_without_tls_is_not_spoken_to_unless_that_is_wanted(bench: Bench, mailbox: Mailbox) -> None:
    url = mailbox.url.removesuffix("?tls=off")
    bench.engine.settings = bench.engine.settings.model_copy(update={"smtp_url": _secret(url)})
    [delivery_id] = queued(bench, Reach("anna", "email", "anna@example.org"))
    sending.send_due(bench.engine)
    assert shown(bench, delivery_id)["last_error"]["code"] == "smtp_refused"
    assert mailbox.messages == []


def test_slack_gets_its_text_and_its_refusals_are_final(bench: Bench, receiver: Peer) -> None:
    receiver.route("/services/T1/secret-part", lambda exchange: exchange.reply(200, b"ok"))
    receiver.route("/services/gone", lambda exchange: exchange.reply(404, b"no_service"))
    ids = queued(
        bench,
        Reach("ops", "slack", receiver.url("/services/T1/secret-part")),
        Reach("ops", "slack", receiver.url("/services/gone")),
    )
    sending.send_due(bench.engine)
    assert [shown(bench, delivery_id)["status"] for delivery_id in ids] == ["delivered", "failed"]
    good = next(request for request in receiver.requests if "T1" in request.path)
    assert good.body == b'{"text":"*Done*\\nThe report is there"}'
    assert "secret-part" not in str(shown(bench, ids[0]))


def test_secrets_are_sent_and_never_shown(bench: Bench, receiver: Peer) -> None:
    about = deliver.About(bench.caller.organization_id, None, None, {}, "s")
    notice = Notice("notification", "Key", "the key is hush-hush")

    def redact(value: Any) -> Any:
        import orjson

        return orjson.loads(orjson.dumps(value).replace(b"hush-hush", b"***"))

    [delivery_id] = deliver.queue(bench.engine, about, notice, [hook(receiver)], redact)
    sending.send_due(bench.engine)
    assert verified(receiver.requests[0], secret(bench))["data"]["message"] == "the key is hush-hush"
    assert "hush-hush" not in str(shown(bench, delivery_id))
    assert bench.sql("SELECT id FROM deliveries d WHERE d::text LIKE '%hush-hush%'") == []


def test_old_messages_are_pruned(bench: Bench, receiver: Peer) -> None:
    from taskengine.lifecycle.prune import prune

    queued(bench, hook(receiver))
    sending.send_due(bench.engine)
    queued(bench, hook(receiver), key="waits")
    bench.sql("UPDATE deliveries SET completed_at = now() - interval '8 days' WHERE status = 'delivered'")
    prune(bench.engine, 7)
    left = deliveries.listing(bench.engine, bench.caller, deliveries.Wanted(), PageRequest()).items
    assert [item["status"] for item in left] == ["pending"]


# Recipients


def ways(bench: Bench, recipient: str, *channels: str, origin: Any = None) -> set[tuple[str, str]]:
    found = recipients.resolve(bench.engine, bench.caller.organization_id, recipient, channels, origin)
    return {(way.channel, way.target) for way in found.ways}


def refusal(bench: Bench, recipient: str, *channels: str) -> str:
    with pytest.raises(PermanentError) as caught:
        ways(bench, recipient, *channels)
    return caught.value.info.code


@pytest.fixture
def people(bench: Bench, mailbox: Mailbox) -> None:
    """anna owns the place, ben and cleo are ops, dora cannot be reached."""
    fields = {
        "anna": MemberFields("owner", email="anna@example.org", slack_url="https://hooks.slack.com/services/a"),
        "ben": MemberFields(webhook_url="https://ben.example.org/hook"),
        "cleo": MemberFields(
            email="cleo@example.org", webhook_url="https://cleo.example.org/hook", channels=("webhook", "email")
        ),
        "dora": MemberFields(),
    }
    for name, values in fields.items():
        members.put(bench.engine, bench.caller, name, values)
    members.put_group(bench.engine, bench.caller, "ops", ["ben", "cleo", "dora"])
    members.put_group(bench.engine, bench.caller, "nobody", [])


@pytest.mark.usefixtures("people")
def test_recipients_lead_to_addresses(bench: Bench) -> None:
    both = {("webhook", "https://cleo.example.org/hook"), ("email", "cleo@example.org")}
    ben = {("webhook", "https://ben.example.org/hook")}
    assert ways(bench, "owner") == {("email", "anna@example.org")}
    assert ways(bench, "originating") == {("email", "anna@example.org")}
    assert ways(bench, "anna", "slack") == {("slack", "https://hooks.slack.com/services/a")}
    assert ways(bench, "cleo") == ways(bench, "member:cleo") == both
    assert ways(bench, "ops") == ways(bench, "group:ops") == both | ben
    assert ways(bench, "ops", "email") == {("email", "cleo@example.org")}
    assert ways(bench, "eva@example.org") == {("email", "eva@example.org")}
    assert ways(bench, "https://a.example.org/x") == {("webhook", "https://a.example.org/x")}
    assert ways(bench, "https://hooks.slack.com/x") == {("slack", "https://hooks.slack.com/x")}
    assert ways(bench, "slack:https://chat.example.org/x") == {("slack", "https://chat.example.org/x")}


@pytest.mark.usefixtures("people")
def test_recipients_that_lead_nowhere_are_refused(bench: Bench) -> None:
    assert refusal(bench, "dora") == refusal(bench, "group:nobody") == refusal(bench, "ben", "email") == "no_channel"
    unknown = ["zoe", "member:zoe", "group:zoe", "a b@example.org", "https://", "https://a.example.org:x/", "x\r\ny"]
    assert {refusal(bench, name) for name in unknown} == {"unknown_recipient"}
    members.delete(bench.engine, bench.caller, "anna")
    assert refusal(bench, "owner") == "no_channel"


@pytest.mark.usefixtures("people")
def test_a_task_may_say_where_its_answers_go(bench: Bench) -> None:
    ben, anna = ("webhook", "https://ben.example.org/hook"), ("email", "anna@example.org")
    assert ways(bench, "originating", origin="ben") == {ben}
    assert ways(bench, "originating", origin=["ben", "originating", 7]) == {ben, anna}


def test_without_a_mail_server_mail_is_no_channel(bench: Bench) -> None:
    members.put(bench.engine, bench.caller, "anna", MemberFields("owner", email="anna@example.org"))
    assert refusal(bench, "owner") == refusal(bench, "eva@example.org") == "no_channel"
