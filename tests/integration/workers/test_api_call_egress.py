"""Where api_call may go: checked on the address that is really connected to, and again on every redirect."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from taskengine.delivery.egress import EgressRefused, guarded_session
from taskengine.domain.errors import PermanentError, TransientError
from tests.integration.workers.conftest import Call
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer, running_peer

Resolve = Callable[..., list[str]]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Answers of the name server by name, one list a lookup, the last one repeating; other names as ever."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if host not in answers:
            return real(host, port, *args, **kwargs)
        addresses = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [item for address in addresses for item in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return answers


@pytest.fixture
def open_peer(peer: Peer) -> Peer:
    """A peer that answers everything."""
    peer.route("/", lambda exchange: exchange.reply(200, b"reached", content_type="text/plain"))
    return peer


def refusal(call: Call, url: str) -> EgressRefused:
    with pytest.raises(EgressRefused) as caught:
        call(url, timeout=2000)
    return caught.value


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "localhost.localdomain.test",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "0",
        "2130706434",  # 127.0.0.2 as one number
        "0x7f000002",
        "0177.0.0.2",
        "127.2",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.2]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:2]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ],
)
def test_a_private_target_is_refused(host: str, call: Call, resolver: dict[str, list[list[str]]]) -> None:
    resolver["localhost.localdomain.test"] = [["127.0.0.2"]]
    error = refusal(call, f"http://{host}:9/")
    assert isinstance(error, PermanentError)
    assert error.info.code == "egress_refused"
    assert "TASKENGINE_EGRESS_ALLOW" in error.info.message
    assert error.info.details["host"] == host.strip("[]")
    assert error.info.details["port"] == 9


def test_the_refusal_is_recorded_with_the_step(call: Call, ctx: HandlerContext) -> None:
    error = refusal(call, "http://169.254.169.254/latest/meta-data/")
    assert "169.254.169.254" in error.info.message
    assert ctx.steps[0].error == error.info.message


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "http://[::1]:80/", "http://127.0.0.2/"])
def test_a_redirect_to_a_private_address_is_refused(target: str, httpbin: str, call: Call) -> None:
    error = refusal(call, f"{httpbin}/redirect-to?url={target}")
    assert error.info.code == "egress_refused"


def test_a_redirect_to_a_name_of_a_private_address_is_refused(
    peer: Peer, call: Call, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["metadata.test"] = [["169.254.169.254"]]
    url = peer.route("/", lambda exchange: exchange.reply(302, location="http://metadata.test/"))
    assert refusal(call, url).info.details == {"host": "metadata.test", "port": 80, "address": "169.254.169.254"}


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(
    open_peer: Peer, call: Call, resolver: dict[str, list[list[str]]]
) -> None:
    """A name server that answers well for the check and badly for the connection finds no second question."""
    resolver["rebinding.test"] = [["127.0.0.1"], ["169.254.169.254"]]
    assert call(open_peer.url(host="rebinding.test")).body == "reached"
    assert resolver["rebinding.test"] == [["169.254.169.254"]]


def test_of_several_addresses_only_a_permitted_one_is_used(
    open_peer: Peer, call: Call, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["mixed.test"] = [["10.255.255.1", "127.0.0.2", "::1", "127.0.0.1"]]
    assert call(open_peer.url(host="mixed.test")).body == "reached"


def test_the_next_address_is_tried_when_one_does_not_answer(
    open_peer: Peer, ctx: HandlerContext, call: Call, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["two.test"] = [["127.0.0.3", "127.0.0.1"]]
    with guarded_session(["127.0.0.0/8"]) as ctx.session:
        assert call(open_peer.url(host="two.test")).body == "reached"


def test_an_address_that_never_answers_times_out(
    ctx: HandlerContext, call: Call, resolver: dict[str, list[list[str]]]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        # Connections that nobody accepts fill the backlog; the kernel then ignores the next one.
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        try:
            with pytest.raises(TransientError) as caught:
                call(f"http://127.0.0.1:{port}/", timeout=300)
        finally:
            for sock in waiting:
                sock.close()
    assert caught.value.info.code == "http_timeout"


@pytest.mark.parametrize("host", ["a..b.test", "x" * 64 + ".test"])
def test_a_name_that_cannot_be_one_is_an_invalid_request(host: str, call: Call) -> None:
    with pytest.raises(PermanentError) as caught:
        call(f"http://{host}/")
    assert caught.value.info.code == "invalid_request"


def test_an_allowed_name_may_be_anywhere_but_only_at_its_port(
    open_peer: Peer, ctx: HandlerContext, call: Call, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["crm.internal"] = [["127.0.0.1"]]
    with guarded_session([f"crm.internal:{open_peer.port}"]) as ctx.session:
        assert call(open_peer.url(host="crm.internal")).body == "reached"
        assert refusal(call, "http://crm.internal:9/").info.details["port"] == 9
        refusal(call, open_peer.url())


def test_an_environment_proxy_is_not_used(
    open_peer: Peer, other_peer: Peer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", other_peer.url())
    assert call(open_peer.url()).body == "reached"
    assert not other_peer.requests


def test_a_proxy_given_to_the_session_is_not_used(open_peer: Peer, other_peer: Peer) -> None:
    with guarded_session(["127.0.0.1"]) as session:
        answer = session.get(open_peer.url(), proxies={"http": other_peer.url()}, timeout=5)
    assert answer.text == "reached"
    assert not other_peer.requests


def test_the_body_of_a_redirect_is_not_read(peer: Peer, call: Call) -> None:
    def endless(exchange: Any) -> None:
        exchange.send_response(302)
        exchange.send_header("Location", "/end")
        exchange.send_header("Content-Length", str(2**40))
        exchange.end_headers()
        exchange.wfile.write(b"x" * 1000)
        exchange.stall()

    peer.route("/end", lambda exchange: exchange.reply(200))
    assert call(peer.route("/", endless), timeout=5000).status == 200


def make_certificate(name: str, directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for ``name``, and the file a client trusts it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    trusted, private = directory / "server.crt", directory / "server.key"
    trusted.write_bytes(certificate.public_bytes(pem))
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


class TestTls:
    @pytest.fixture
    def tls_peer(self, tmp_path: Path, ctx: HandlerContext, resolver: dict[str, list[list[str]]]) -> Iterator[Peer]:
        """A TLS server whose certificate is for api.test; both api.test and other.test lead to it."""
        resolver["api.test"] = resolver["other.test"] = [["127.0.0.1"]]
        context, trusted = make_certificate("api.test", tmp_path)
        ctx.session.verify = str(trusted)
        with running_peer(context) as peer:
            peer.route("/", lambda exchange: exchange.reply(200, b"reached", content_type="text/plain"))
            yield peer

    def test_the_certificate_is_checked_against_the_name(self, tls_peer: Peer, call: Call) -> None:
        assert call(tls_peer.url(host="api.test")).body == "reached"

    def test_a_certificate_of_another_name_is_refused(self, tls_peer: Peer, call: Call) -> None:
        with pytest.raises(TransientError) as caught:
            call(tls_peer.url(host="other.test"))
        assert caught.value.info.code == "http_connection"

    def test_an_unknown_authority_is_refused(self, tls_peer: Peer, call: Call, ctx: HandlerContext) -> None:
        ctx.session.verify = True
        with pytest.raises(TransientError) as caught:
            call(tls_peer.url(host="api.test"))
        assert caught.value.info.code == "http_connection"

    def test_a_slow_body_over_tls_is_cut_off(self, tls_peer: Peer, call: Call) -> None:
        def slow(exchange: Any) -> None:
            exchange.send_response(200)
            exchange.end_headers()
            exchange.drip(b"x" * 100000)

        tls_peer.route("/slow", slow)
        with pytest.raises(TransientError) as caught:
            call(tls_peer.url("/slow", host="api.test"), timeout=400)
        assert caught.value.info.code == "http_timeout"

    def test_a_handshake_that_never_comes_is_cut_off(self, call: Call) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(TransientError) as caught:
            call(f"https://127.0.0.1:{mute.getsockname()[1]}/", timeout=300)
        assert caught.value.info.code == "http_timeout"
