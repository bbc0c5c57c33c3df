"""ghl_action against a server that checks method, path, headers and body as GoHighLevel does.

Attempts run as in a worker: the ledger lies in a real Postgres, the limits in a real Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import TransientError
from taskengine.domain.outcome import Parked, Succeeded
from taskengine.lifecycle import secrets
from taskengine.lifecycle.control import execute, retry
from tests.conftest import Bench
from tests.ghl_server import KEY, LOCATION, GhlServer, running_ghl
from tests.integration.workers.context import HandlerContext
from workers.integration import ghl_action
from workers.integration.ghl_client import RATES
from workers.integration.ghl_config import GhlActionConfig

JOHN = {
    "ghlAction": "add_contact",
    "firstName": "John",
    "lastName": "Doe",
    "email": "john@example.com",
    "phone": "+15551234567",
    "customFields": {"company": "Acme Inc"},
}
CONTACT = "contact0000AbCdEfGh"
SMS = {"ghlAction": "send_sms", "contactId": CONTACT, "message": "Your appointment is at 9."}
DEAL = {
    "ghlAction": "create_opportunity",
    "contactId": CONTACT,
    "pipelineId": "VDm7RPYC2GLUvdpKmBfC",
    "name": "Acme: a new roof",
    "monetaryValue": 220,
    "customFields": [{"id": "6dvNaf7VhkQ9snc5vnjJ", "field_value": ["a", "b"]}],
}
TAG = {"ghlAction": "add_tag", "contactId": CONTACT, "tags": ["vip", "roof"]}
UPDATE = {"ghlAction": "update_contact", "contactId": CONTACT, "city": "Dolomite", "customFields": {"company": "Acme"}}

Attempt = Callable[[UUID], dict[str, Any]]


@pytest.fixture
def ghl() -> Iterator[GhlServer]:
    """The server, and the operator's settings that point to it."""
    with running_ghl() as server:
        ghl_action.configure(server.url, KEY, LOCATION, settle_seconds=0)
        yield server
        ghl_action.configure(ghl_action.BASE_URL, None, None)


@pytest.fixture
def john(ghl: GhlServer) -> str:
    """A contact that there is already, for long."""
    ghl.contacts[CONTACT] = {"id": CONTACT, "dateAdded": "2021-08-31T09:59:41.937Z", "tags": ["lead"], "phone": "+1"}
    return CONTACT


def created(bench: Bench, config: dict[str, Any], **spec: Any) -> UUID:
    (task_id,) = bench.submit({"type": "ghl_action", "config": config, **spec})
    return task_id


@pytest.fixture
def attempt(bench: Bench) -> Attempt:
    """Let a worker take the task once, now, whatever its retry time is; returns the task."""

    def attempt(task_id: UUID) -> dict[str, Any]:
        if bench.task(task_id)["status"] == "retrying":
            execute(bench.engine, bench.caller, task_id)
        assert bench.work(task_id) == 1
        return bench.task(task_id)

    return attempt


def done(bench: Bench, attempt: Attempt, config: dict[str, Any]) -> dict[str, Any]:
    """The result of a task that succeeds at once."""
    task = attempt(created(bench, config))
    assert task["status"] == "completed", task["last_error"]
    return dict(task["result"])


class TestActions:
    def test_add_contact_as_the_seeds_spell_it(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        result = done(bench, attempt, JOHN)
        call = ghl.last("create_contact")
        assert call.body == {
            "firstName": "John",
            "lastName": "Doe",
            "email": "john@example.com",
            "phone": "+15551234567",
            "locationId": LOCATION,
            "customFields": [{"key": "company", "field_value": "Acme Inc"}],
        }
        assert call.headers["version"] == "2021-07-28"
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert (result["id"], result["contact_id"]) == (CONTACT, CONTACT)
        assert result["response"]["contact"]["email"] == "john@example.com"
        assert result["rates"] == {"remaining": 90, "daily_remaining": 199990}
        assert (result["found"], result["existed"]) == (False, False)

    def test_update_contact_sends_no_location(self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt) -> None:
        result = done(bench, attempt, UPDATE)
        call = ghl.last("update_contact")
        assert (call.path, call.headers["version"]) == (f"/contacts/{john}", "2021-07-28")
        assert call.body == {"city": "Dolomite", "customFields": [{"key": "company", "field_value": "Acme"}]}
        assert result["id"] == john
        assert ghl.contacts[john]["city"] == "Dolomite"

    def test_send_sms_has_a_version_of_its_own(self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt) -> None:
        result = done(bench, attempt, SMS | {"fromNumber": "+15550001111"})
        call = ghl.last("send_message")
        assert call.headers["version"] == "2021-04-15"
        assert call.body == {
            "type": "SMS",
            "contactId": john,
            "message": "Your appointment is at 9.",
            "fromNumber": "+15550001111",
        }
        assert (result["id"], result["contact_id"]) == (ghl.messages[0]["id"], john)
        assert result["conversation_id"] == f"conversation{john}"

    def test_create_opportunity_is_open_unless_told_otherwise(
        self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt
    ) -> None:
        result = done(bench, attempt, DEAL)
        assert ghl.last("create_opportunity").body == {
            "pipelineId": "VDm7RPYC2GLUvdpKmBfC",
            "locationId": LOCATION,
            "name": "Acme: a new roof",
            "status": "open",
            "contactId": john,
            "monetaryValue": 220,
            "customFields": [{"id": "6dvNaf7VhkQ9snc5vnjJ", "field_value": ["a", "b"]}],
        }
        assert list(ghl.opportunities) == [result["id"]]
        assert result["contact_id"] == john

    def test_add_tag_adds_to_the_tags_that_there_are(
        self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt
    ) -> None:
        result = done(bench, attempt, TAG)
        assert ghl.last("add_tags").body == {"tags": ["vip", "roof"]}
        assert result["tags"] == ["lead", "vip", "roof"]

    def test_custom_fields_with_ids_and_keys_go_out_as_they_are(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        fields = [{"id": "a1", "key": "company", "field_value": "Acme"}, {"key": "size", "value": 12}]
        done(bench, attempt, JOHN | {"customFields": fields})
        sent = (ghl.last("create_contact").body or {})["customFields"]
        assert sent == [fields[0], {"key": "size", "field_value": 12}]


class TestAccount:
    def test_the_organizations_secrets_win_over_the_environment(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl_action.configure(ghl.url, "the-operators-key", "theOperatorsLocation")
        secrets.put(bench.engine, bench.caller, "GHL_API_KEY", KEY)
        secrets.put(bench.engine, bench.caller, "GHL_LOCATION_ID", LOCATION)
        done(bench, attempt, JOHN)

    def test_the_config_wins_over_both_and_its_key_is_never_shown(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl_action.configure(ghl.url, "the-operators-key", "theOperatorsLocation")
        task = attempt(created(bench, JOHN | {"apiKey": KEY, "locationId": LOCATION}))
        assert task["status"] == "completed"
        assert task["config"]["apiKey"] == "***"
        assert KEY not in str(bench.sql("SELECT result, error FROM steps")) + str(task)

    @pytest.mark.parametrize(
        ("key", "location", "missing"), [(None, LOCATION, "GHL_API_KEY"), (KEY, None, "GHL_LOCATION_ID")]
    )
    def test_without_key_or_location_it_says_where_to_put_it(
        self, key: str | None, location: str | None, missing: str, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl_action.configure(ghl.url, key, location)
        task = attempt(created(bench, JOHN))
        assert (task["status"], task["last_error"]["code"]) == ("failed", "ghl_not_configured")
        assert f"PUT /v1/secrets/{missing}" in task["last_error"]["message"]
        assert ghl.calls == []

    def test_a_wrong_key_is_permanent_and_says_what_to_check(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        task = attempt(created(bench, JOHN | {"apiKey": "a-wrong-key"}))
        assert (task["status"], task["last_error"]["code"]) == ("failed", "ghl_unauthorized")
        assert task["last_error"]["details"]["scope"] == "contacts.write"
        assert "a-wrong-key" not in str(task)

    def test_a_location_that_is_not_the_keys_is_permanent(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        task = attempt(created(bench, JOHN | {"locationId": "another"}))
        assert task["last_error"]["code"] == "ghl_unauthorized"
        assert task["last_error"]["details"]["messages"] == ["The token does not have access to this location."]


class TestLimits:
    def test_429_is_tried_again_when_the_server_says_and_holds_all_others_back(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.answers.append((429, {"Retry-After": "40"}, {"statusCode": 429, "message": "Too Many Requests"}))
        task = attempt(created(bench, JOHN))
        assert (task["status"], task["last_error"]["code"]) == ("retrying", "rate_limited")
        assert task["last_error"]["details"]["retry_after_seconds"] == 40
        other = attempt(created(bench, JOHN))
        assert other["status"] == "waiting_input"  # without a worker, and without taking a retry
        assert ghl.names() == ["create_contact"]

    def test_429_without_retry_after_waits_for_the_interval(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.answers.append((429, {"X-RateLimit-Interval-Milliseconds": "7000"}, "slow down"))
        task = attempt(created(bench, JOHN))
        assert task["last_error"]["details"]["retry_after_seconds"] == 7

    def test_the_last_call_of_the_day_holds_the_location_back(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.limits["X-RateLimit-Daily-Remaining"] = "0"
        assert attempt(created(bench, JOHN))["status"] == "completed"
        parked = attempt(created(bench, JOHN | {"email": "jane@example.com", "phone": "+15550000000"}))
        assert parked["status"] == "waiting_input"
        assert len(ghl.calls) == 1

    def test_an_answer_that_leaves_no_call_blocks_the_next_for_the_interval(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.limits |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Interval-Milliseconds": "60000"}
        assert attempt(created(bench, JOHN))["status"] == "completed"
        key = f"taskengine:rate:{{{bench.caller.organization_id}:ghl:{LOCATION}}}:blocked"
        assert 50 < float(str(bench.engine.redis.ttl(key))) <= 60

    def test_no_more_than_100_calls_leave_in_10_seconds(
        self, ghl: GhlServer, bench: Bench, john: str, attempt: Attempt
    ) -> None:
        key = f"{bench.caller.organization_id}:ghl:{LOCATION}"
        assert attempt(created(bench, TAG))["status"] == "completed"
        assert [bench.engine.rates.take(key, RATES) for _ in range(99)] == [0] * 99
        assert 5 < bench.engine.rates.take(key, RATES) <= 11

    def test_a_short_wait_is_waited_in_the_worker(self, ghl: GhlServer, john: str, ctx: HandlerContext) -> None:
        ctx.waits = [0.02, 0.01]
        assert isinstance(ghl_action.GhlAction().run(ctx, GhlActionConfig.model_validate(TAG)), Succeeded)
        assert ctx.taken == [f"ghl:{LOCATION}"]

    def test_a_long_one_is_waited_without_a_worker(self, ghl: GhlServer, john: str, ctx: HandlerContext) -> None:
        ctx.waits = [3600.0]
        outcome = ghl_action.GhlAction().run(ctx, GhlActionConfig.model_validate(SMS))
        assert isinstance(outcome, Parked)
        assert outcome.seconds == 3600
        assert (ghl.calls, ctx.memory) == ([], {})

    def test_cancelled_while_it_waits_it_sends_nothing(self, ghl: GhlServer, john: str, ctx: HandlerContext) -> None:
        ctx.waits, ctx.stop = [5.0], True
        with pytest.raises(TransientError, match="told to stop"):
            ghl_action.GhlAction().run(ctx, GhlActionConfig.model_validate(SMS))
        assert (ghl.calls, ctx.memory) == ([], {})


class TestRefusals:
    def test_the_messages_of_a_422_are_kept_as_a_list(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        said = ["email must be an email", "phone must be a string"]
        ghl.answers.append((422, {}, {"statusCode": 422, "message": said, "error": "Unprocessable Entity"}))
        task = attempt(created(bench, JOHN))
        assert (task["status"], task["last_error"]["code"]) == ("failed", "ghl_rejected")
        assert task["last_error"]["details"] == {"status": 422, "messages": said}
        assert "email must be an email; phone must be a string" in task["last_error"]["message"]

    def test_an_unknown_contact_is_permanent(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        task = attempt(created(bench, TAG | {"contactId": "nobody"}))
        assert task["last_error"]["code"] == "ghl_rejected"
        assert task["last_error"]["details"]["messages"] == ["Contact with id nobody not found"]

    def test_a_duplicate_contact_is_refused_with_its_id_or_used(
        self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.contacts[john]["email"] = JOHN["email"]
        task = attempt(created(bench, JOHN))
        assert (task["last_error"]["code"], task["last_error"]["details"]["existing_id"]) == ("ghl_rejected", john)
        result = done(bench, attempt, JOHN | {"onDuplicate": "use"})
        assert (result["id"], result["existed"]) == (john, True)

    def test_a_duplicate_opportunity_too(self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt) -> None:
        first = done(bench, attempt, DEAL)["id"]
        task = attempt(created(bench, DEAL))
        assert task["last_error"]["details"]["existing_id"] == first
        assert done(bench, attempt, DEAL | {"onDuplicate": "use"})["id"] == first
        assert len(ghl.opportunities) == 1

    @pytest.mark.parametrize("status", [500, 502, 503, 408])
    def test_a_fault_of_the_server_is_tried_again(
        self, status: int, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.answers.append((status, {"Retry-After": "7"}, "<html>not JSON</html>"))
        task_id = created(bench, TAG)
        task = attempt(task_id)
        assert (task["status"], task["last_error"]["code"]) == ("retrying", "ghl_unavailable")
        assert attempt(task_id)["status"] == "completed"

    def test_a_redirect_is_not_followed_with_the_key(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        ghl.answers.append((302, {"Location": f"{ghl.url}/elsewhere"}, ""))
        assert attempt(created(bench, JOHN))["last_error"]["code"] == "ghl_rejected"
        assert len(ghl.calls) == 1

    def test_a_server_that_is_not_there_is_tried_again(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        ghl_action.configure("http://127.0.0.1:1", KEY, LOCATION)
        task_id = created(bench, SMS)
        assert attempt(task_id)["last_error"]["code"] == "http_connection"
        assert bench.sql("SELECT * FROM memories") == []  # it never left: nothing to look for

    def test_a_private_address_is_refused(self, ghl: GhlServer, bench: Bench, attempt: Attempt) -> None:
        ghl_action.configure("http://127.0.0.2:80", KEY, LOCATION)
        assert attempt(created(bench, JOHN))["last_error"]["code"] == "egress_refused"


ONCE = [
    pytest.param(JOHN, "contacts", "create_contact", id="add_contact"),
    pytest.param(SMS, "messages", "send_message", id="send_sms"),
    pytest.param(DEAL, "opportunities", "create_opportunity", id="create_opportunity"),
]


@pytest.mark.parametrize(("config", "kept", "operation"), ONCE)
class TestNothingTwice:
    """What an attempt does whose forerunner never heard the answer."""

    @pytest.mark.parametrize("lost", ["after", "fail"])
    def test_what_was_done_is_found_and_not_done_again(
        self,
        lost: str,
        config: dict[str, Any],
        kept: str,
        operation: str,
        ghl: GhlServer,
        bench: Bench,
        attempt: Attempt,
    ) -> None:
        if config is not JOHN:
            ghl.contacts[CONTACT] = {"id": CONTACT, "tags": []}
        ghl.duplicates = True  # nothing but the handler's own care keeps it from happening twice
        ghl.drops.append(lost)
        task_id = created(bench, config)
        task = attempt(task_id)
        assert task["status"] == "retrying"
        assert task["last_error"]["code"] == ("http_connection" if lost == "after" else "ghl_unavailable")
        assert len(getattr(ghl, kept)) == 1
        task = attempt(task_id)
        assert task["status"] == "completed", task["last_error"]
        assert task["result"]["found"] is True
        made = getattr(ghl, kept)
        assert len(made) == 1
        assert task["result"]["id"] == (made[0]["id"] if isinstance(made, list) else next(iter(made)))
        assert ghl.names().count(operation) == 1

    def test_what_was_not_done_is_done(
        self, config: dict[str, Any], kept: str, operation: str, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        if config is not JOHN:
            ghl.contacts[CONTACT] = {"id": CONTACT, "tags": []}
        ghl.drops.append("before")
        task_id = created(bench, config)
        assert attempt(task_id)["last_error"]["code"] == "http_connection"
        assert getattr(ghl, kept) in ({}, [])
        task = attempt(task_id)
        assert (task["status"], task["result"]["found"]) == ("completed", False)
        assert len(getattr(ghl, kept)) == 1

    def test_a_worker_that_dies_with_the_answer_in_hand_leaves_it_to_the_next(
        self, config: dict[str, Any], kept: str, operation: str, ghl: GhlServer, ctx: HandlerContext
    ) -> None:
        if config is not JOHN:
            ghl.contacts[CONTACT] = {"id": CONTACT, "tags": []}
        parsed = GhlActionConfig.model_validate(config)
        first = ghl_action.GhlAction().run(ctx, parsed)
        again = ghl_action.GhlAction().run(ctx, parsed)  # nobody heard of the first
        assert isinstance(first, Succeeded)
        assert again == Succeeded(first.result.model_copy(update={"found": True}))
        assert ghl.names() == [operation]

    def test_a_key_that_may_not_search_ends_in_maybe_sent_and_a_persons_retry_sends_it(
        self, config: dict[str, Any], kept: str, operation: str, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        if config is not JOHN:
            ghl.contacts[CONTACT] = {"id": CONTACT, "tags": []}
        ghl.searchable = False
        ghl.drops.append("before")
        task_id = created(bench, config)
        attempt(task_id)
        task = attempt(task_id)
        assert (task["status"], task["last_error"]["code"]) == ("failed", "maybe_sent")
        assert "scope" in task["last_error"]["details"]["reason"]
        assert ghl.names().count(operation) == 1
        retry(bench.engine, bench.caller, task_id)
        assert attempt(task_id)["status"] == "completed"
        assert len(getattr(ghl, kept)) == 1

    def test_resend_sends_again_where_nobody_can_tell(
        self, config: dict[str, Any], kept: str, operation: str, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        if config is not JOHN:
            ghl.contacts[CONTACT] = {"id": CONTACT, "tags": []}
        ghl.searchable = False
        ghl.drops.append("before")
        task_id = created(bench, config | {"resend": True})
        attempt(task_id)
        assert attempt(task_id)["status"] == "completed"
        assert ghl.names().count(operation) == 2

    def test_a_refusal_leaves_nothing_to_look_for(
        self, config: dict[str, Any], kept: str, operation: str, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.answers.append((422, {}, {"statusCode": 422, "message": ["no"]}))
        assert attempt(created(bench, config))["status"] == "failed"
        assert bench.sql("SELECT * FROM memories") == []

    def test_before_it_must_be_there_the_task_waits_without_a_worker(
        self, config: dict[str, Any], kept: str, operation: str, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl_action.configure(ghl.url, KEY, LOCATION, settle_seconds=60)
        ghl.drops.append("before")
        task_id = created(bench, config)
        attempt(task_id)
        assert attempt(task_id)["status"] == "waiting_input"
        assert ghl.names().count(operation) == 1


class TestWhatIsOurs:
    """An earlier thing of the same look is not taken for what the lost call made."""

    def test_an_older_contact(self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt) -> None:
        ghl.duplicates = True
        ghl.contacts[john] |= {"email": JOHN["email"]}
        ghl.drops.append("before")
        task_id = created(bench, JOHN)
        attempt(task_id)
        assert attempt(task_id)["result"]["found"] is False
        assert len(ghl.contacts) == 2

    @pytest.mark.parametrize("when", ["2021-08-31T09:59:41.937Z", 1630403981937])
    def test_an_older_message_of_the_same_text(
        self, when: Any, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.nested = False
        done(bench, attempt, SMS)
        ghl.messages[0]["dateAdded"] = when
        ghl.drops.append("before")
        task_id = created(bench, SMS)
        attempt(task_id)
        assert attempt(task_id)["result"]["found"] is False
        assert len(ghl.messages) == 2

    def test_a_message_that_came_in(self, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt) -> None:
        done(bench, attempt, SMS)
        ghl.messages[0]["direction"] = "inbound"
        ghl.drops.append("before")
        task_id = created(bench, SMS)
        attempt(task_id)
        assert attempt(task_id)["result"]["found"] is False

    def test_a_contact_without_email_and_phone_cannot_be_looked_for(
        self, ghl: GhlServer, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.drops.append("after")
        task_id = created(bench, {"ghlAction": "add_contact", "name": "John Doe"})
        attempt(task_id)
        task = attempt(task_id)
        assert (task["status"], task["last_error"]["code"]) == ("failed", "maybe_sent")
        assert len(ghl.contacts) == 1

    @pytest.mark.parametrize(("config", "operation"), [(TAG, "add_tags"), (UPDATE, "update_contact")])
    def test_what_may_be_done_twice_is_just_done_again(
        self, config: dict[str, Any], operation: str, ghl: GhlServer, john: str, bench: Bench, attempt: Attempt
    ) -> None:
        ghl.drops.append("after")
        task_id = created(bench, config)
        attempt(task_id)
        assert attempt(task_id)["status"] == "completed"
        assert ghl.names() == [operation, operation]
        assert ghl.contacts[john]["tags"] == (["lead", "vip", "roof"] if config is TAG else ["lead"])


@pytest.mark.parametrize(
    ("config", "loc", "said"),
    [
        ({}, ("ghlAction",), "required"),
        ({"ghlAction": "delete_contact"}, ("ghlAction",), "add_contact"),
        ({"ghlAction": "add_contact"}, (), "needs one of firstName"),
        ({"ghlAction": "add_contact", "email": "no address"}, ("email",), "e-mail address"),
        (JOHN | {"pipelineId": "x"}, ("pipelineId",), "does not take pipelineId"),
        (JOHN | {"customFields": [{"field_value": 1}]}, ("customFields", 0), "needs id or key"),
        ({"ghlAction": "send_sms", "contactId": "abc"}, ("message",), "send_sms needs message"),
        (SMS | {"contactId": "../x"}, ("contactId",), "must be an id"),
        (SMS | {"message": "x" * 1601}, ("message",), "1600"),
        ({"ghlAction": "add_tag", "contactId": "abc", "tags": []}, ("tags",), "at least 1"),
        ({"ghlAction": "update_contact", "contactId": "abc"}, (), "a field to update"),
        (DEAL | {"status": "closed"}, ("status",), "open"),
        ({"ghlAction": "create_opportunity", "contactId": "abc", "name": "x"}, ("pipeline_id",), "needs pipelineId"),
    ],
)
def test_a_wrong_config_is_refused_before_it_is_stored(config: dict[str, Any], loc: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GhlActionConfig.model_validate(config)
    (fault,) = caught.value.errors()
    assert fault["loc"] == loc
    assert said in fault["msg"]


def test_a_single_tag_may_be_a_plain_text() -> None:
    assert GhlActionConfig.model_validate(TAG | {"tags": "vip"}).tags == ["vip"]
