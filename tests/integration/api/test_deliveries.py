"""Deliveries, members, groups and the secret of webhooks over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from api.schemas.deliveries import Delivery, Group, ListedDelivery, Member
from taskengine.domain.task import Caller
from taskengine.handlers.base import Notice, Reach
from taskengine.lifecycle import deliver, keys, sending
from taskengine.lifecycle.engine import Engine
from tests.integration.api.conftest import Api, fits

ANNA = {"role": "owner", "email": "anna@example.org", "slackUrl": "https://hooks.slack.com/services/T/secret"}


def queued(engine: Engine, caller: Caller) -> str:
    """A message to a receiver that nobody may call."""
    about = deliver.About(caller.organization_id, uuid4(), None, {}, uuid4().hex)
    notice = Notice("notification", "Hello", "there")
    way = Reach("them", "webhook", "http://10.1.2.3/hook?token=hush")
    return str(deliver.queue(engine, about, notice, [way])[0])


def test_a_delivery_is_listed_shown_given_up_and_sent_again(api: Api, engine: Engine, caller: Caller) -> None:
    delivery_id = queued(engine, caller)
    [listed] = api("GET", "/v1/deliveries?status=pending&channel=webhook&type=notification").get_json()["items"]
    fits(listed, ListedDelivery)
    assert (listed["id"], listed["address"]) == (delivery_id, "http://10.1.2.3/hook?***")
    assert api("POST", f"/v1/deliveries/{delivery_id}/redrive").status_code == 409

    sending.send_due(engine)
    shown = api("GET", f"/v1/deliveries/{delivery_id}").get_json()
    fits(shown, Delivery)
    assert (shown["status"], shown["attempts"][0]["error"]["code"]) == ("failed", "egress_refused")
    assert "hush" not in str(shown)

    assert api("POST", f"/v1/deliveries/{delivery_id}/redrive").get_json()["status"] == "pending"
    assert api("GET", "/v1/deliveries?status=failed").get_json()["items"] == []


def test_deliveries_are_paged_and_found_by_their_task(api: Api, engine: Engine, caller: Caller) -> None:
    ids = [queued(engine, caller) for _ in range(3)]
    first = api("GET", "/v1/deliveries?limit=2").get_json()
    rest = api("GET", f"/v1/deliveries?limit=2&cursor={first['next_cursor']}").get_json()
    assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]
    task_id = first["items"][0]["task_id"]
    assert [item["id"] for item in api("GET", f"/v1/deliveries?task_id={task_id}").get_json()["items"]] == [ids[2]]


def test_another_organization_sees_none_of_it(api: Api, app: Flask, engine: Engine, caller: Caller) -> None:
    delivery_id = queued(engine, caller)
    api("PUT", "/v1/members/anna", json=ANNA)
    other = Api(app.test_client(), keys.add_organization(engine, "other")["key"])
    assert other("GET", "/v1/deliveries").get_json()["items"] == []
    assert other("GET", f"/v1/deliveries/{delivery_id}").status_code == 404
    assert other("POST", f"/v1/deliveries/{delivery_id}/redrive").status_code == 404
    assert other("GET", "/v1/members/anna").status_code == 404
    mine = api("GET", "/v1/webhook-secret").get_json()["secret"]
    assert other("GET", "/v1/webhook-secret").get_json()["secret"] != mine


def test_the_secret_is_made_once_given_or_made_anew(api: Api, app: Flask, engine: Engine, caller: Caller) -> None:
    first = api("GET", "/v1/webhook-secret").get_json()["secret"]
    assert api("GET", "/v1/webhook-secret").get_json()["secret"] == first
    assert api("PUT", "/v1/webhook-secret", json={}).get_json()["secret"] != first
    given = "whsec_" + "QUJD" * 10
    assert api("PUT", "/v1/webhook-secret", json={"secret": given}).get_json()["secret"] == given
    refused = api("PUT", "/v1/webhook-secret", json={"secret": "whsec_short"})
    assert (refused.status_code, refused.get_json()["errors"][0]["loc"]) == (422, ["body", "secret"])
    writer = Api(app.test_client(), keys.create(engine, caller, "w", ["write"])["key"])
    assert writer("GET", "/v1/webhook-secret").status_code == 403


def test_a_member_is_made_changed_and_forgotten(api: Api) -> None:
    made = api("PUT", "/v1/members/anna", json=ANNA)
    assert made.status_code == 200, made.text
    member = made.get_json()
    fits(member, Member)
    assert (member["slack_url"], member["webhook_url"], member["channels"]) == ("***", None, [])

    kept = api("PUT", "/v1/members/anna", json={"slack_url": "***", "channels": ["slack"]}).get_json()
    assert (kept["id"], kept["slack_url"], kept["email"], kept["role"]) == (member["id"], "***", None, "member")
    assert api("GET", "/v1/members/anna").get_json() == kept
    assert api("GET", "/v1/members").get_json()["items"] == [kept]
    assert api("DELETE", "/v1/members/anna").status_code == 204
    assert api("DELETE", "/v1/members/anna").status_code == 404


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("anna", {"email": "no address"}, "email"),
        ("anna", {"email": "a@b.org\r\nBcc: c@d.org"}, "email"),
        ("anna", {"slack_url": "ftp://x"}, "slack_url"),
        ("anna", {"webhook_url": "***"}, "webhook_url"),
        ("anna", {"channels": ["pigeon"]}, "channels"),
        ("anna", {"email": "a@b.org", "channels": ["email", "slack"]}, "channels"),
        ("anna", {"role": "king"}, "role"),
        ("owner", {}, "name"),
        ("originating", {}, "name"),
    ],
)
def test_a_member_that_does_not_fit_is_refused(api: Api, name: str, body: dict[str, Any], field: str) -> None:
    answer = api("PUT", f"/v1/members/{name}", json=body)
    assert answer.status_code == 422
    assert field in answer.get_json()["errors"][0]["loc"]
    assert api("GET", "/v1/members").get_json()["items"] == []


def test_a_group_holds_members_that_there_are(api: Api) -> None:
    for name in ("anna", "ben"):
        api("PUT", f"/v1/members/{name}", json={})
    group = api("PUT", "/v1/groups/ops", json={"members": ["ben", "anna", "ben"]}).get_json()
    fits(group, Group)
    assert group["members"] == ["anna", "ben"]
    refused = api("PUT", "/v1/groups/ops", json={"members": ["anna", "zoe"]})
    assert (refused.status_code, refused.get_json()["errors"][0]["type"]) == (422, "unknown_member")
    api("DELETE", "/v1/members/ben")
    assert api("GET", "/v1/groups/ops").get_json()["members"] == ["anna"]
    assert [item["name"] for item in api("GET", "/v1/groups").get_json()["items"]] == ["ops"]
    assert api("DELETE", "/v1/groups/ops").status_code == 204
    assert api("GET", "/v1/groups/ops").status_code == 404
