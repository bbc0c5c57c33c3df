"""api_call against a real httpbin: credentials, payloads, answers, statuses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from tests.integration.workers.conftest import Call
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Answer, Exchange, Peer


def body_of(answer: Any) -> dict[str, Any]:
    assert isinstance(answer.body, dict)
    return answer.body


def redirecting(status: int, location: str) -> Answer:
    return lambda exchange: exchange.reply(status, location=location)


def echoed(answer: Any, name: str) -> str | None:
    """A request header as httpbin saw it."""
    found = {key.lower(): value for key, value in body_of(answer)["headers"].items()}
    return found.get(name.lower())


def test_a_get_returns_the_parsed_answer(httpbin: str, call: Call, ctx: HandlerContext) -> None:
    answer = call(f"{httpbin}/get?a=1", query={"b": [2, "x y"], "c": True, "d": None, "e": {"f": 1}})
    assert answer.status == 200
    assert answer.body_kind == "json"
    assert body_of(answer)["args"] == {"a": "1", "b": ["2", "x y"], "c": "true", "e": '{"f":1}'}
    assert answer.headers["content-type"] == "application/json"
    assert answer.redirects == 0
    assert answer.duration_ms >= 0
    assert echoed(answer, "Idempotency-Key") is None
    (step,) = ctx.steps
    assert step.value == {
        "method": "GET",
        "url": answer.url,
        "status": 200,
        "duration_ms": step.value["duration_ms"],
        "redirects": 0,
        "size_bytes": answer.size_bytes,
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_changing_call_carries_its_payload_and_the_idempotency_key(
    method: str, httpbin: str, call: Call, ctx: HandlerContext
) -> None:
    answer = call(f"{httpbin}/anything", apiMethod=method, apiPayload={"key": "välue"})
    assert body_of(answer)["json"] == {"key": "välue"}
    assert echoed(answer, "Content-Type") == "application/json"
    assert echoed(answer, "Idempotency-Key") == ctx.idempotency_key


def test_the_users_own_idempotency_key_wins(httpbin: str, call: Call) -> None:
    answer = call(f"{httpbin}/anything", apiMethod="POST", customHeaders={"idempotency-key": "mine"})
    assert echoed(answer, "Idempotency-Key") == "mine"


def test_a_form_is_encoded_when_the_header_says_so(httpbin: str, call: Call) -> None:
    answer = call(
        f"{httpbin}/post",
        apiMethod="POST",
        apiPayload={"a": "1 2", "b": [3, 4]},
        customHeaders={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert body_of(answer)["form"] == {"a": "1 2", "b": ["3", "4"]}


def test_a_string_payload_is_sent_as_it_is(httpbin: str, call: Call) -> None:
    answer = call(
        f"{httpbin}/post", apiMethod="POST", apiPayload="<a>é</a>", customHeaders={"Content-Type": "application/xml"}
    )
    assert body_of(answer)["data"] == "<a>é</a>"
    assert echoed(answer, "Content-Type") == "application/xml"


def test_head_and_no_content_have_no_body(httpbin: str, call: Call) -> None:
    head = call(f"{httpbin}/get", apiMethod="HEAD")
    assert (head.status, head.body_kind, head.body) == (200, "none", None)
    gone = call(f"{httpbin}/status/204", apiMethod="DELETE")
    assert (gone.status, gone.body_kind) == (204, "none")


class TestCredentials:
    def test_bearer(self, httpbin: str, call: Call) -> None:
        answer = call(f"{httpbin}/bearer", authType="bearer", bearerToken="bearer-token-1")
        assert answer.body == {"authenticated": True, "token": "***"}

    def test_basic(self, httpbin: str, call: Call) -> None:
        url = f"{httpbin}/basic-auth/user/pass-word"
        answer = call(url, authType="basic", username="user", password="pass-word")
        assert answer.body == {"authenticated": True, "user": "user"}
        with pytest.raises(PermanentError) as caught:
            call(url, authType="basic", username="user", password="wrong-word")
        assert caught.value.info.details["status"] == 401

    def test_basic_in_the_url(self, httpbin: str, call: Call, ctx: HandlerContext) -> None:
        url = httpbin.replace("://", "://user:pass-word@") + "/basic-auth/user/pass-word"
        answer = call(url)
        assert body_of(answer)["authenticated"] is True
        assert "pass-word" not in answer.model_dump_json() + ctx.everything()

    def test_api_key_in_a_header(self, peer: Peer, call: Call) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200))
        call(url, authType="api_key", apiKey="key-1234")
        call(url, authType="api_key", apiKey="key-1234", apiKeyName="X-Acme")
        assert peer.requests[0].headers["x-api-key"] == "key-1234"
        assert peer.requests[1].headers["x-acme"] == "key-1234"
        assert "x-api-key" not in peer.requests[1].headers

    def test_api_key_in_the_query(self, peer: Peer, call: Call, ctx: HandlerContext) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200))
        answer = call(url + "?page=2", authType="api_key", apiKey="key/12 34", apiKeyIn="query", apiKeyName="appid")
        assert peer.requests[0].path == "/?page=2&appid=key%2F12+34"
        assert answer.url == url + "?page=2&appid=***"
        assert "key%2F12" not in ctx.everything()

    def test_none_sends_none(self, httpbin: str, call: Call) -> None:
        answer = call(f"{httpbin}/headers", bearerToken="unused-token")
        assert echoed(answer, "Authorization") is None

    def test_credentials_outside_latin_1_travel_as_utf_8(self, peer: Peer, call: Call) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200))
        call(url, authType="basic", username="usér", password="pässwörd €")
        scheme, _, pair = peer.requests[0].headers["authorization"].partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(pair).decode() == "usér:pässwörd €"


class TestStatuses:
    def test_404_is_permanent(self, httpbin: str, call: Call, ctx: HandlerContext) -> None:
        with pytest.raises(PermanentError) as caught:
            call(f"{httpbin}/status/404")
        assert caught.value.info.code == "http_status"
        assert caught.value.info.details["status"] == 404
        assert ctx.steps[0].value["status"] == 404
        assert ctx.steps[0].error

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
    def test_a_passing_fault_is_transient(self, status: int, httpbin: str, call: Call) -> None:
        with pytest.raises(TransientError) as caught:
            call(f"{httpbin}/status/{status}")
        assert caught.value.info.code == "http_status"
        assert caught.value.retry_after_seconds is None

    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_honoured(self, status: int, peer: Peer, call: Call) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(status, b"busy", Retry_After="17"))
        with pytest.raises(TransientError) as caught:
            call(url)
        assert caught.value.retry_after_seconds == 17

    def test_the_error_holds_the_start_of_the_answer(self, peer: Peer, call: Call) -> None:
        problem = json.dumps({"error": "no such customer", "token": "bearer-token-1"}).encode()
        url = peer.route("/", lambda exchange: exchange.reply(422, problem, content_type="application/json"))
        with pytest.raises(PermanentError) as caught:
            call(url, authType="bearer", bearerToken="bearer-token-1")
        assert "no such customer" in caught.value.info.details["body"]
        assert "bearer-token-1" not in str(caught.value.info)

    def test_an_expected_status_is_a_success(self, httpbin: str, call: Call) -> None:
        assert call(f"{httpbin}/status/404", expectedStatus=[200, 404]).status == 404
        with pytest.raises(PermanentError):
            call(f"{httpbin}/get", expectedStatus=201)


class TestAnswers:
    def test_text_and_binary(self, httpbin: str, call: Call) -> None:
        page = call(f"{httpbin}/html")
        assert page.body_kind == "text"
        assert isinstance(page.body, str) and "Herman Melville" in page.body
        image = call(f"{httpbin}/image/png")
        assert image.body_kind == "base64"
        assert isinstance(image.body, str) and base64.b64decode(image.body).startswith(b"\x89PNG")

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_compressed_answers_are_decoded(self, encoding: str, httpbin: str, call: Call) -> None:
        assert body_of(call(f"{httpbin}/{encoding}"))["method"] == "GET"

    def test_extract_takes_named_values(self, httpbin: str, call: Call) -> None:
        pointers = {"title": "/slideshow/title", "second": "/slideshow/slides/1/type"}
        assert call(f"{httpbin}/json", extract=pointers).extracted == {"title": "Sample Slide Show", "second": "all"}

    def test_extract_of_what_is_not_there_fails(self, httpbin: str, call: Call) -> None:
        with pytest.raises(PermanentError) as caught:
            call(f"{httpbin}/json", extract={"x": "/slideshow/none"})
        assert caught.value.info.code == "extract_failed"

    def test_extract_of_a_page_fails(self, httpbin: str, call: Call) -> None:
        with pytest.raises(PermanentError) as caught:
            call(f"{httpbin}/html", extract={"x": "/a"})
        assert caught.value.info.code == "bad_response"

    def test_broken_json_fails(self, peer: Peer, call: Call) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200, b"{oops", content_type="application/json"))
        with pytest.raises(PermanentError) as caught:
            call(url)
        assert caught.value.info.code == "bad_response"

    def test_cookies_are_neither_shown_nor_kept_for_the_next_call(self, httpbin: str, call: Call) -> None:
        first = call(f"{httpbin}/cookies/set?flavour=oat")
        assert first.body == {"cookies": {"flavour": "oat"}}  # within the call's own redirect they are
        assert "set-cookie" not in first.headers
        assert call(f"{httpbin}/cookies").body == {"cookies": {}}


class TestRedirects:
    def test_they_are_followed_and_counted(self, httpbin: str, call: Call, ctx: HandlerContext) -> None:
        answer = call(f"{httpbin}/redirect/3")
        assert answer.redirects == 3
        assert [hop.status for hop in answer.redirect_chain] == [302, 302, 302]
        assert answer.url == f"{httpbin}/get"
        assert ctx.steps[0].value["redirects"] == 3

    def test_more_than_allowed_fail(self, httpbin: str, call: Call) -> None:
        assert call(f"{httpbin}/redirect/2", maxRedirects=2).redirects == 2
        with pytest.raises(PermanentError) as caught:
            call(f"{httpbin}/redirect/3", maxRedirects=2)
        assert caught.value.info.code == "too_many_redirects"

    def test_a_loop_ends(self, peer: Peer, call: Call) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(302, location="/"))
        with pytest.raises(PermanentError) as caught:
            call(url)
        assert caught.value.info.code == "too_many_redirects"
        assert len(peer.requests) == 11

    def test_none_are_followed_when_told_so(self, httpbin: str, call: Call) -> None:
        answer = call(f"{httpbin}/redirect/1", maxRedirects=0, expectedStatus=302)
        assert (answer.status, answer.redirects, answer.headers["location"]) == (302, 0, "/get")

    def test_307_keeps_method_and_body_and_303_does_not(self, peer: Peer, call: Call) -> None:
        peer.route("/end", lambda exchange: exchange.reply(200))
        for status in (307, 303):
            peer.route("/", redirecting(status, "/end"))
            call(peer.url(), apiMethod="POST", apiPayload={"a": 1})
        kept, dropped = peer.requests[1], peer.requests[3]
        assert (kept.method, kept.body) == ("POST", b'{"a":1}')
        assert (dropped.method, dropped.body) == ("GET", b"")

    def test_no_credential_goes_to_another_origin(self, peer: Peer, other_peer: Peer, call: Call) -> None:
        target = other_peer.route("/", lambda exchange: exchange.reply(200))
        url = peer.route("/", lambda exchange: exchange.reply(302, location=target))
        call(url, authType="api_key", apiKey="key-1234", customHeaders={"X-Tenant": "acme", "Accept": "text/plain"})
        call(url, authType="bearer", bearerToken="bearer-token-1")
        assert peer.requests[0].headers["x-api-key"] == "key-1234"
        for request in other_peer.requests:
            assert not {"authorization", "x-api-key", "x-tenant"} & set(request.headers)
        assert other_peer.requests[0].headers["accept"] == "text/plain"

    def test_a_redirect_to_another_scheme_fails(self, peer: Peer, call: Call) -> None:
        for location in ("ftp://127.0.0.1/x", "file:///etc/passwd", "http://[bad/"):
            url = peer.route("/", redirecting(302, location))
            with pytest.raises(PermanentError) as caught:
                call(url)
            assert caught.value.info.code == "invalid_request"

    def test_a_credential_that_no_header_can_carry_is_refused_in_words(self, peer: Peer, call: Call) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200))
        with pytest.raises(PermanentError, match="holds a line break") as caught:
            call(url, authType="bearer", bearerToken="a\r\nX-Evil: 1")
        assert "X-Evil" not in str(caught.value)
        assert peer.requests == []


class TestOAuth:
    @pytest.fixture
    def api(self, peer: Peer) -> Peer:
        """An API whose token endpoint gives out token-1, token-2, … and which accepts the newest only."""
        issued: list[str] = []

        def token(exchange: Exchange) -> None:
            issued.append(f"oauth-token-{len(issued) + 1}")
            answer = {"access_token": issued[-1], "token_type": "Bearer", "expires_in": 3600, "scope": "other"}
            exchange.reply(200, json.dumps(answer).encode(), content_type="application/json")

        def resource(exchange: Exchange) -> None:
            good = exchange.received.headers.get("authorization") == f"Bearer {issued[-1]}"
            exchange.reply(200 if good else 401, b'{"ok": true}', content_type="application/json")

        peer.route("/token", token)

        def revoke(exchange: Exchange) -> None:
            issued.append("none")
            exchange.reply(204)

        peer.route("/revoke", revoke)
        peer.route("/api", resource)
        return peer

    def fields(self, api: Peer, **more: Any) -> dict[str, Any]:
        return {
            "authType": "oauth2",
            "tokenUrl": api.url("/token"),
            "clientId": "client",
            "clientSecret": "client-secret",
            **more,
        }

    def paths(self, api: Peer) -> list[str]:
        return [request.path for request in api.requests]

    def test_a_token_is_fetched_once_and_used(self, api: Peer, call: Call, ctx: HandlerContext) -> None:
        for _ in range(2):
            assert call(api.url("/api"), **self.fields(api, scope="read write")).body == {"ok": True}
        assert self.paths(api) == ["/token", "/api", "/api"]
        request = api.requests[0]
        assert request.body == b"grant_type=client_credentials&scope=read+write"
        assert request.headers["authorization"] == "Basic " + base64.b64encode(b"client:client-secret").decode()
        assert "oauth-token-1" not in ctx.everything()

    def test_the_client_may_prove_itself_in_the_body(self, api: Peer, call: Call) -> None:
        call(api.url("/api"), **self.fields(api, clientAuth="body"))
        assert b"client_secret=client-secret" in api.requests[0].body
        assert "authorization" not in api.requests[0].headers

    def test_a_refused_token_is_renewed_once(self, api: Peer, call: Call) -> None:
        call(api.url("/api"), **self.fields(api))
        call(api.url("/revoke"))
        assert call(api.url("/api"), **self.fields(api)).status == 200
        assert self.paths(api) == ["/token", "/api", "/revoke", "/api", "/token", "/api"]

    def test_a_refusal_of_a_fresh_token_is_final(self, api: Peer, call: Call) -> None:
        api.route("/api", lambda exchange: exchange.reply(401))
        with pytest.raises(PermanentError) as caught:
            call(api.url("/api"), **self.fields(api))
        assert caught.value.info.details["status"] == 401
        assert self.paths(api) == ["/token", "/api"]

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (401, b'{"error": "invalid_client", "error_description": "not client-secret"}', PermanentError),
            (400, b"nope", PermanentError),
            (200, b"{}", PermanentError),
            (200, b"<html>", PermanentError),
            (200, b"[]", PermanentError),
            (200, b'{"access_token": null}', PermanentError),
            (500, b'{"access_token": "a-token"}', TransientError),
            (302, b"", PermanentError),
            (503, b"busy", TransientError),
        ],
    )
    def test_a_refusing_token_endpoint(
        self, status: int, body: bytes, kind: type[HandlerError], peer: Peer, call: Call, ctx: HandlerContext
    ) -> None:
        peer.route("/token", lambda exchange: exchange.reply(status, body, Retry_After="5", location="/x"))
        with pytest.raises(kind) as caught:
            call(peer.url("/api"), **self.fields(peer))
        assert caught.value.info.code == "oauth_failed"
        assert "client-secret" not in str(caught.value.info) + ctx.everything()
        if isinstance(caught.value, TransientError):
            assert caught.value.retry_after_seconds == 5
