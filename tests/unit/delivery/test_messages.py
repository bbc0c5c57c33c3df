"""The forms of messages, and what is shown of where they go."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from taskengine.delivery.email import check_address, compose, mail_server
from taskengine.delivery.messages import payload, shown_target, subject_line
from taskengine.delivery.signing import check_secret, new_secret, signed_headers

AT = datetime(2030, 1, 31, 9, tzinfo=UTC)
ID = UUID(int=7)


def test_each_channel_has_its_form() -> None:
    said = {
        channel: payload(channel, "notification", "Sub", "Text", {"task": None}, "error", AT)
        for channel in ("email", "slack", "webhook")
    }
    assert said["email"] == {"subject": "[error] Sub", "text": "Text"}
    assert said["slack"] == {"text": "*[error] Sub*\nText"}
    assert said["webhook"] == {
        "type": "notification",
        "timestamp": "2030-01-31T09:00:00Z",
        "data": {"task": None, "subject": "Sub", "message": "Text", "severity": "error"},
    }


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x0b", "\x1b", "\x85", "\u2028"])
def test_no_text_ends_a_subject(end: str) -> None:
    line = subject_line(f"a{end}Bcc: b@example.org")
    assert line == "a Bcc: b@example.org"
    message = compose("Me <me@example.org>", "you@example.org", ID, {"subject": line, "text": "x"}, AT)
    assert message["Bcc"] is None
    assert message.as_bytes().count(b"\r\nBcc") == 0


@pytest.mark.parametrize(
    "address", ["a@b.org\r\nRCPT TO:<c@d.org>", "a@b.org\n", "a b@c.org", "a@", "<a@b.org>", "a@b\0.org"]
)
def test_no_address_carries_more_than_itself(address: str) -> None:
    with pytest.raises(ValueError, match="no e-mail address"):
        check_address(address)


@pytest.mark.parametrize(
    ("channel", "target", "shown"),
    [
        ("email", "a@b.org", "a@b.org"),
        ("slack", "https://hooks.slack.com/services/T/B/secret", "https://hooks.slack.com/***"),
        ("webhook", "https://user:pass@a.org:8443/x?token=y#z", "https://a.org:8443/x?***"),
        ("webhook", "https://a.org/x", "https://a.org/x"),
    ],
)
def test_targets_are_shown_without_what_could_be_a_credential(channel: str, target: str, shown: str) -> None:
    assert shown_target(channel, target) == shown


def test_every_secret_signs_and_the_id_is_the_messages() -> None:
    secrets = [new_secret(), new_secret()]
    now = datetime.now(UTC)
    headers = signed_headers(ID, "{}", secrets, now)
    for secret in secrets:
        Webhook(secret).verify("{}", headers)
    assert headers["webhook-id"] == signed_headers(ID, "[]", secrets, AT)["webhook-id"]


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all but long enough", "whsec_" + "QUJD" * 30]
)
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        check_secret(text)


def test_mail_servers_are_read_from_urls() -> None:
    server = mail_server("smtp://us%40er:p%2Fw@mail.example.org", "Me <me@example.org>")
    assert (server.host, server.port, server.user, server.password, server.tls) == (
        "mail.example.org", 587, "us@er", "p/w", "starttls",
    )  # fmt: skip
    assert mail_server("smtps://mail.example.org", "me@example.org").tls == "implicit"
    assert mail_server("smtp://localhost:2525?tls=off", "me@example.org").tls == "off"
