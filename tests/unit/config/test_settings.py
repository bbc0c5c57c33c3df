"""Settings are validated when they are read, and a wrong one is named."""

from __future__ import annotations

import pytest

from config.settings import QUEUES, Settings, SettingsError, check_egress_entry, load, parse_workers


def test_every_queue_has_a_worker_unless_told_otherwise() -> None:
    assert parse_workers("") == dict.fromkeys(QUEUES, 1)
    assert parse_workers("integration=4, browser=0")["integration"] == 4
    assert Settings(workers="browser=0").worker_sizes()["browser"] == 0


@pytest.mark.parametrize("text", ["nope=1", "browser=x", "browser", "browser=65", "browser=-1"])
def test_odd_worker_counts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"queue|should read"):
        parse_workers(text)


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/8", "127.0.0.1", "::1", "[::1]:80", "host.example", "host:8080", "::1/128"]
)
def test_egress_entries(entry: str) -> None:
    check_egress_entry(entry)


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "host:0", "host:99999", "a b", " "])
def test_odd_egress_entries_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_egress_entry(entry)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_PORT", "99999")
    monkeypatch.setenv("TASKENGINE_REDIS_URL", "http://x")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "TASKENGINE_PORT: " in str(caught.value)
    assert "TASKENGINE_REDIS_URL: " in str(caught.value)


def test_the_api_is_found_by_its_url_or_on_this_machine() -> None:
    assert Settings(port=1234).api_url() == "http://127.0.0.1:1234"
    assert Settings(url="https://x").api_url() == "https://x"
    assert Settings(egress_allow=" a:1, ,b").egress_entries() == ("a:1", "b")


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({"SMTP_URL": "mail.example.org", "SMTP_FROM": "a@b.org"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://mail.example.org?tls=maybe", "SMTP_FROM": "a@b.org"}, "SMTP_URL"),
        ({"SMTP_URL": "smtps://mail.example.org"}, "SMTP_FROM"),
        ({"SMTP_URL": "smtps://mail.example.org", "SMTP_FROM": "nobody"}, "SMTP_FROM"),
        ({"DELIVERY_DELAYS": "5,soon"}, "DELIVERY_DELAYS"),
        ({"DELIVERY_DELAYS": ""}, "DELIVERY_DELAYS"),
    ],
)
def test_wrong_ways_out_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], variable: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"TASKENGINE_{name}", value)
    with pytest.raises(SettingsError, match=f"TASKENGINE_{variable}"):
        load()
