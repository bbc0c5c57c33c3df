"""api_call against peers that are slow, large or broken."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from taskengine.domain.errors import PermanentError, TransientError
from tests.integration.workers.conftest import Call
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Exchange, Peer

MEBIBYTE = bytes(range(256)) * 4096


def send_mebibytes(count: int) -> Any:
    def answer(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Type", "application/octet-stream")
        exchange.send_header("Content-Length", str(count * len(MEBIBYTE)))
        exchange.end_headers()
        for _ in range(count):
            exchange.wfile.write(MEBIBYTE)

    return answer


def test_a_50_mb_body_becomes_an_artifact_without_filling_memory(peer: Peer, call: Call, ctx: HandlerContext) -> None:
    url = peer.route("/big", send_mebibytes(50))
    tracemalloc.start()
    try:
        answer = call(url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.body is None
    assert answer.body_kind == "artifact"
    assert answer.size_bytes == 50 * len(MEBIBYTE)
    assert answer.artifact is not None
    assert answer.artifact.size_bytes == answer.size_bytes
    with ctx.artifacts[answer.artifact.id].open("rb") as stored:
        digest = hashlib.file_digest(stored, "sha256").hexdigest()
    assert digest == hashlib.sha256(MEBIBYTE * 50).hexdigest()
    assert peak < 8 * 2**20


def test_large_json_is_an_artifact_and_can_still_be_extracted_from(peer: Peer, call: Call) -> None:
    document = json.dumps({"items": ["x" * 1000] * 1000, "next": 7}).encode()
    url = peer.route("/", lambda exchange: exchange.reply(200, document, content_type="application/json"))
    answer = call(url, extract={"next": "/next"})
    assert answer.body_kind == "artifact"
    assert answer.artifact is not None
    assert answer.artifact.name == "response.json"
    assert answer.extracted == {"next": 7}


def test_an_extracted_value_that_the_record_cannot_hold_fails(peer: Peer, call: Call) -> None:
    url = peer.route("/", lambda exchange: exchange.reply(200, b'{"a": "x\\u0000"}', content_type="application/json"))
    assert call(url).body_kind == "artifact"
    with pytest.raises(PermanentError) as caught:
        call(url, extract={"a": "/a"})
    assert caught.value.info.code == "extract_failed"


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused(declared: bool, peer: Peer, call: Call) -> None:
    def undeclared(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.end_headers()
        exchange.close_connection = True
        for _ in range(5):
            exchange.wfile.write(MEBIBYTE)

    url = peer.route("/", send_mebibytes(5) if declared else undeclared)
    with pytest.raises(PermanentError) as caught:
        call(url, maxResponseBytes=2**20)
    assert caught.value.info.code == "response_too_large"


def test_a_body_at_the_limit_is_taken(peer: Peer, call: Call) -> None:
    assert call(peer.route("/", send_mebibytes(1)), maxResponseBytes=2**20).size_bytes == 2**20


@pytest.mark.parametrize("layers", [1, 2])
def test_a_decompression_bomb_is_stopped_while_it_unfolds(layers: int, peer: Peer, call: Call) -> None:
    bomb = b"\0" * (200 * 2**20)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    encoding = ", ".join(["gzip"] * layers)
    url = peer.route("/", lambda exchange: exchange.reply(200, bomb, Content_Encoding=encoding))
    tracemalloc.start()
    try:
        with pytest.raises(PermanentError) as caught:
            call(url, maxResponseBytes=2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.info.code == "response_too_large"
    assert peak < 16 * 2**20


def test_a_body_that_is_not_compressed_as_it_says_is_a_bad_response(peer: Peer, call: Call) -> None:
    url = peer.route("/", lambda exchange: exchange.reply(200, b"not gzip", Content_Encoding="gzip"))
    with pytest.raises(PermanentError) as caught:
        call(url)
    assert caught.value.info.code == "bad_response"


def silent(exchange: Exchange) -> None:
    exchange.stall()


def slow_headers(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(99)) + b"\r\n")


def slow_body(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Length", "100000")
    exchange.end_headers()
    exchange.drip(b"x" * 100000)


def slow_body_of_unknown_length(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.end_headers()
    exchange.drip(b"x" * 100000)


def slow_chunks(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Transfer-Encoding", "chunked")
    exchange.end_headers()
    exchange.drip(b"1\r\nx\r\n" * 100000)


def slow_error_body(exchange: Exchange) -> None:
    exchange.send_response(404)
    exchange.send_header("Content-Type", "text/plain")
    exchange.send_header("Content-Length", "100000")
    exchange.end_headers()
    exchange.drip(b"x" * 100000)


@pytest.mark.parametrize(
    "answer", [silent, slow_headers, slow_body, slow_body_of_unknown_length, slow_chunks, slow_error_body]
)
def test_a_slow_peer_is_cut_off_at_the_deadline(answer: Any, peer: Peer, call: Call, ctx: HandlerContext) -> None:
    url = peer.route("/", answer)
    with pytest.raises(TransientError) as caught:
        call(url, timeout=400)
    assert caught.value.info.code == "http_timeout"
    assert ctx.steps[0].error


def test_the_deadline_spans_redirects(peer: Peer, call: Call) -> None:
    def late(exchange: Exchange) -> None:
        exchange.server.peer.over.wait(0.15)
        exchange.reply(302, location="/")

    with pytest.raises(TransientError) as caught:
        call(peer.route("/", late), timeout=400)
    assert caught.value.info.code == "http_timeout"
    assert len(peer.requests) <= 4


def test_a_slow_httpbin_times_out(httpbin: str, call: Call) -> None:
    with pytest.raises(TransientError) as caught:
        call(f"{httpbin}/delay/3", timeout=300)
    assert caught.value.info.code == "http_timeout"


def test_the_attempts_own_deadline_holds_too(peer: Peer, call: Call, ctx: HandlerContext) -> None:
    ctx.time_left = timedelta(seconds=0.3)
    with pytest.raises(TransientError) as caught:
        call(peer.route("/", silent))
    assert caught.value.info.code == "http_timeout"


def test_a_session_serves_on_after_a_timeout(peer: Peer, call: Call) -> None:
    peer.route("/slow", slow_body)
    peer.route("/quick", lambda exchange: exchange.reply(200, b"ok", content_type="text/plain"))
    for _ in range(2):
        with pytest.raises(TransientError):
            call(peer.url("/slow"), timeout=200)
        assert call(peer.url("/quick")).body == "ok"


def test_a_cancelled_attempt_stops_reading(peer: Peer, call: Call, ctx: HandlerContext) -> None:
    ctx.stop = True
    with pytest.raises(TransientError) as caught:
        call(peer.route("/", send_mebibytes(2)))
    assert caught.value.info.code == "interrupted"


def hang_up(exchange: Exchange) -> None:
    exchange.close_connection = True


def half_a_body(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Length", "1000")
    exchange.end_headers()
    exchange.wfile.write(b"x" * 10)
    exchange.close_connection = True


def nonsense(exchange: Exchange) -> None:
    exchange.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    exchange.close_connection = True


@pytest.mark.parametrize("answer", [hang_up, half_a_body, nonsense])
def test_a_broken_connection_is_transient(answer: Any, peer: Peer, call: Call) -> None:
    with pytest.raises(TransientError) as caught:
        call(peer.route("/", answer))
    assert caught.value.info.code == "http_connection"


def test_a_refused_connection_and_an_unknown_name_are_transient(call: Call) -> None:
    for url in ("http://127.0.0.1:1/?api_key=key-1234", "http://no-such-host.invalid/"):
        with pytest.raises(TransientError) as caught:
            call(url)
        assert caught.value.info.code == "http_connection"
        assert "key-1234" not in str(caught.value.info)


def test_no_credential_is_left_behind_anywhere(
    peer: Peer, call: Call, ctx: HandlerContext, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer, an error and a log that repeat whatever was sent."""

    def mirror(exchange: Exchange) -> None:
        received = exchange.received
        status = 500 if received.path.startswith("/fail") else 200
        seen = json.dumps({"path": received.path, "headers": received.headers}).encode()
        exchange.reply(status, seen, content_type="application/json", X_Echo=received.path)

    caplog.set_level(logging.DEBUG)
    left = ""
    for path in ("/ok", "/fail"):
        url = peer.route(path, mirror).replace("://", "://url-user:url-password@")
        for fields in (
            {},
            {"authType": "bearer", "bearerToken": "the-bearer-token"},
            {"authType": "basic", "username": "someone", "password": "the-password"},
            {"authType": "api_key", "apiKey": "the-api-key"},
            {"authType": "api_key", "apiKey": "the-api-key", "apiKeyIn": "query", "apiKeyName": "appid"},
        ):
            try:
                left += call(url, customHeaders={"X-Session-Token": "the-header-token"}, **fields).model_dump_json()
            except TransientError as error:
                left += json.dumps(error.info.as_dict())
    left += ctx.everything() + caplog.text
    for secret in ("url-password", "the-bearer-token", "the-password", "the-api-key", "the-header-token"):
        assert any(secret in str(request.headers) + request.path for request in peer.requests) or secret in (
            "url-password",
            "the-password",
        )
        assert secret not in left
