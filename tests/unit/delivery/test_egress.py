"""What the guarded session decides without a connection."""

from __future__ import annotations

import pytest
import requests

from taskengine.delivery.egress import guarded_session
from taskengine.delivery.time_limit import TimeLimitExceeded, current_limit, time_limit
from taskengine.domain.errors import TransientError


def test_only_http_and_https_are_spoken() -> None:
    with guarded_session([]) as session:
        for url in ("ftp://example.com/", "file:///etc/passwd", "unix:///run/x.sock"):
            with pytest.raises(requests.exceptions.InvalidSchema):
                session.get(url)


def test_environment_proxies_and_netrc_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with guarded_session([]) as session:
        settings = session.merge_environment_settings("http://example.com/", {}, None, None, None)
    assert not session.trust_env
    assert not settings["proxies"]


def redirected(old: str, new: str) -> set[str]:
    """The headers that survive a redirect."""
    names = {"Authorization": "Bearer x", "X-Acme-Key": "x", "Accept": "*/*", "Content-Type": "text/plain"}
    with guarded_session([]) as session:
        answer = requests.Response()
        answer.request = session.prepare_request(requests.Request("GET", old, headers=names))
        following = session.prepare_request(requests.Request("GET", new, headers=names))
        session.rebuild_auth(following, answer)
    return set(following.headers) & set(names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://a.test/x", "https://b.test/x"),
        ("https://a.test/x", "https://sub.a.test/x"),
        ("https://a.test/x", "http://a.test/x"),
        ("https://a.test/x", "https://a.test:8443/x"),
        ("http://a.test:8080/x", "https://a.test/x"),
    ],
)
def test_no_header_that_could_be_a_credential_goes_to_another_origin(old: str, new: str) -> None:
    assert redirected(old, new) == {"Accept", "Content-Type"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://a.test/x", "https://a.test:443/y"),
        ("https://A.test/x", "https://a.test/y"),
        ("http://a.test/x", "https://a.test/x"),
    ],
)
def test_credentials_stay_on_the_same_origin(old: str, new: str) -> None:
    assert redirected(old, new) == {"Authorization", "X-Acme-Key", "Accept", "Content-Type"}


def test_a_time_limit_holds_for_its_block_only() -> None:
    assert current_limit() is None
    with time_limit(60) as limit:
        assert current_limit() is limit
        assert 0 < limit.remaining_seconds() <= 60
        limit.check()
    assert current_limit() is None


def test_an_expired_limit_wins_over_the_error_that_it_caused() -> None:
    with pytest.raises(TimeLimitExceeded) as caught, time_limit(60) as limit:
        limit.expire()
        raise ConnectionError("the socket was shut")
    assert isinstance(caught.value, TransientError)
    assert caught.value.info.code == "http_timeout"


def test_an_expired_limit_is_told_even_when_nothing_failed() -> None:
    with pytest.raises(TimeLimitExceeded), time_limit(60) as limit:
        limit.expire()


def test_an_error_within_the_limit_is_left_alone() -> None:
    with pytest.raises(ConnectionError), time_limit(60):
        raise ConnectionError("refused")
