"""What the client does around a request: the key, retries, errors, timeouts, redirects."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from taskengine.client import (
    ApiError,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    ServerError,
    Unauthenticated,
    Unreachable,
)
from tests.integration.client.scripted import DROP, Answer, ScriptedApi, problem

TASK = {"id": "0198-1", "status": "queued", "type": "echo"}


def test_the_key_goes_out_as_a_bearer_token_even_if_a_netrc_names_the_host(
    api: ScriptedApi, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    api.on("GET", "/v1/tasks/1", Answer(200, TASK))
    client.tasks.get("1")
    assert api.asked[0].headers["authorization"] == "Bearer te_test_key"


def test_connections_are_reused(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", Answer(200, TASK))
    for _ in range(3):
        client.tasks.get("1")
    assert len({asked.connection for asked in api.asked}) == 1


def test_every_post_carries_its_own_idempotency_key(api: ScriptedApi, client: Client) -> None:
    api.on("POST", "/v1/tasks", Answer(201, TASK))
    client.submit("echo")
    client.submit("echo")
    client.submit("echo", idempotency_key="mine")
    first, second, third = (asked.headers["idempotency-key"] for asked in api.asked)
    assert UUID(first) != UUID(second)
    assert third == "mine"


@pytest.mark.parametrize("bad", [DROP, Answer(502), Answer(503), Answer(504, b"<html>")])
def test_a_post_is_tried_again_with_the_same_idempotency_key_and_body(
    api: ScriptedApi, client: Client, bad: Answer
) -> None:
    api.on("POST", "/v1/tasks", bad, Answer(201, TASK))
    assert client.submit("echo", {"message": "x"})["id"] == TASK["id"]
    assert len(api.asked) == 2
    assert len({asked.headers["idempotency-key"] for asked in api.asked}) == 1
    assert api.asked[0].body == api.asked[1].body == {"type": "echo", "name": "echo", "config": {"message": "x"}}


def test_tries_are_bounded(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", problem(503, "unavailable", "the database is away"))
    with pytest.raises(ServerError, match="the database is away") as caught:
        client.tasks.get("1")
    assert caught.value.status == 503
    assert len(api.asked) == 3


def test_a_lost_connection_ends_as_unreachable(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", DROP)
    with pytest.raises(Unreachable, match="closed connection"):
        client.tasks.get("1")
    assert len(api.asked) == 3


def test_a_closed_port_is_named_in_plain_words(unused_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{unused_port}", "k", retries=0) as client,
        pytest.raises(Unreachable, match=rf"http://127.0.0.1:{unused_port}/v1/tasks/1: .*refused"),
    ):
        client.tasks.get("1")


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_a_second() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("header", [lambda: "1", _in_a_second])
def test_retry_after_is_honoured(api: ScriptedApi, client: Client, header: Callable[[], str]) -> None:
    api.on("GET", "/v1/tasks/1", Answer(429, headers={"Retry-After": header()}), Answer(200, TASK))
    started = time.monotonic()
    client.tasks.get("1")
    assert time.monotonic() - started > 0.9


def test_a_retry_after_of_minutes_is_left_to_the_caller(api: ScriptedApi, client: Client) -> None:
    slow = problem(429, "rate_limited", "slow down")
    api.on("GET", "/v1/tasks/1", Answer(429, slow.body, {"Retry-After": "300"}))
    with pytest.raises(RateLimited) as caught:
        client.tasks.get("1")
    assert caught.value.retry_after_seconds == 300
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (405, ApiError),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (500, ServerError),
    ],
)
def test_problems_become_typed_errors_and_are_not_repeated(
    api: ScriptedApi, client: Client, status: int, kind: type[ApiError]
) -> None:
    api.on("POST", "/v1/tasks", problem(status, "some_code", "what is wrong", allowed=["queued"]))
    with pytest.raises(kind) as caught:
        client.submit("echo")
    error = caught.value
    assert (error.status, error.code, error.detail) == (status, "some_code", "what is wrong")
    assert error.extra == {"allowed": ["queued"]}
    assert len(api.asked) == 1


def test_field_errors_name_their_place(api: ScriptedApi, client: Client) -> None:
    fault = {"loc": ["tasks", 3, "config", "url"], "msg": "is no URL", "type": "url_parsing"}
    api.on("POST", "/v1/tasks/batch", problem(422, "invalid_input", "1 task is wrong", errors=[fault]))
    with pytest.raises(Invalid, match=r"1 task is wrong; tasks\.3\.config\.url: is no URL") as caught:
        client.tasks.create_batch([{"type": "echo"}])
    assert caught.value.errors[0].loc == ("tasks", 3, "config", "url")
    assert caught.value.errors[0].type == "url_parsing"


def test_an_error_page_of_a_proxy_still_says_what_happened(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", Answer(500, b"<html>oops</html>", {"Content-Type": "text/html"}))
    with pytest.raises(ServerError, match="HTTP 500"):
        client.tasks.get("1")


def test_an_answer_that_is_no_json_is_not_taken_for_a_result(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/tasks/1", Answer(200, b"<html>welcome</html>"))
    with pytest.raises(Unreachable, match="is this a taskengine API"):
        client.tasks.get("1")


def test_a_redirect_is_reported_not_followed(api: ScriptedApi, client: Client) -> None:
    api.on("POST", "/v1/tasks", Answer(301, headers={"Location": "https://elsewhere.example/v1/tasks"}))
    with pytest.raises(Unreachable, match=r"use that as the base URL"):
        client.submit("echo")


def test_a_delete_whose_first_answer_was_lost_succeeds(api: ScriptedApi, client: Client) -> None:
    api.on("DELETE", "/v1/tasks/1", DROP, problem(404, "not_found", "gone"))
    client.tasks.delete("1")
    api.on("DELETE", "/v1/tasks/1", problem(404, "not_found", "never was"))
    with pytest.raises(NotFound, match="never was"):
        client.tasks.delete("1")


def test_an_answer_that_does_not_come_ends_in_time_and_is_not_repeated() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, "k", timeout=0.3) as client, pytest.raises(Unreachable, match="no answer in time"):
            client.tasks.get("1")


def test_files_are_streamed(api: ScriptedApi, client: Client) -> None:
    data = bytes(range(256)) * 1000
    api.on("GET", "/v1/artifacts/a%2Fb", Answer(200, data, {"Content-Type": "image/png"}))
    target = io.BytesIO()
    assert client.artifacts.save("a/b", target) == len(data)
    assert target.getvalue() == data == client.artifacts.read("a/b")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Client(url, "k")


def test_a_file_that_breaks_off_is_not_taken_for_whole(api: ScriptedApi, client: Client) -> None:
    api.on("GET", "/v1/artifacts/1", Answer(200, b"half", promised=100))
    with pytest.raises(Unreachable):
        client.artifacts.read("1")


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """The URL of an HTTPS server whose certificate nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ScriptedApi(context).serving() as api:
        api.on("GET", "/v1/tasks/1", Answer(200, TASK))
        yield api.url.replace("http://127.0.0.1", "https://localhost")


def test_certificates_are_verified_unless_their_maker_is_named(untrusted: str, tmp_path: Path) -> None:
    with Client(untrusted, "k") as client, pytest.raises(Unreachable, match="certificate is not trusted"):
        client.tasks.get("1")
    with Client(untrusted, "k", verify=str(tmp_path / "server.pem")) as client:
        assert client.tasks.get("1")["id"] == TASK["id"]
