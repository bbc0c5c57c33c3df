"""monitoring against real local servers: HTTP, plain TCP, and TLS with certificates of a private authority."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from taskengine.domain.errors import PermanentError, TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer, running_peer
from workers.automation.monitoring import Monitoring
from workers.automation.monitoring_config import CheckResult, MonitoringConfig, MonitoringOutput

PEM = serialization.Encoding.PEM


def monitored(ctx: HandlerContext, *targets: dict[str, Any], **options: Any) -> MonitoringOutput:
    """The result of checking these targets; its errors are raised."""
    config = MonitoringConfig.model_validate({"targets": list(targets), **options})
    outcome = Monitoring().run(ctx, config)
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, MonitoringOutput)
    return outcome.result


def found(ctx: HandlerContext, **target: Any) -> CheckResult:
    """How one target was found, whatever it was."""
    (check,) = monitored(ctx, target, failOn="never").checks
    return check


@dataclass
class Authority:
    """A private certificate authority."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
        made = self._unsigned(self._name, self._key, timedelta(days=1000))
        self.certificate = made.add_extension(x509.BasicConstraints(True, None), True).sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(PEM).decode()

    def server(self, lasts: timedelta, name: str = "localhost") -> ssl.SSLContext:
        """What a server with a certificate for ``name`` needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        made = self._unsigned(subject, key, lasts).add_extension(alternative, False).sign(self._key, hashes.SHA256())
        chain, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(made.public_bytes(PEM))
        plain = serialization.NoEncryption()
        private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, private)
        return context

    def _unsigned(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=500))
            .not_valid_after(now + lasts)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


Serving = Callable[..., int]


@pytest.fixture
def serving(authority: Authority) -> Iterator[Serving]:
    """Start a TLS server whose certificate lasts so many days; answers its port."""
    with ExitStack() as stack:

        def start(days: float, name: str = "localhost") -> int:
            # An hour more, so that "30 days" are still 30 whole ones when they are counted.
            context = authority.server(timedelta(days=days, hours=1), name)
            return stack.enter_context(running_peer(context)).port

        yield start


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def closed() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TestHttp:
    def test_a_page_that_answers_is_ok(self, ctx: HandlerContext, peer: Peer) -> None:
        url = peer.route("/health", lambda exchange: exchange.reply(200, b'{"state": "up"}'))
        check = found(ctx, type="http", url=f"{url}?token=abc", contains='"up"', notContains="down")
        assert (check.status, check.http_status, check.code) == ("ok", 200, None)
        assert check.latency_ms is not None
        assert check.target == url
        assert (ctx.steps[0].name, ctx.steps[0].type) == (url, "http")
        assert ctx.steps[0].value["status"] == "ok"

    @pytest.mark.parametrize(
        ("expected", "status"), [(None, "critical"), (404, "ok"), ([200, 404], "ok"), (200, "critical")]
    )
    def test_the_status_must_be_an_expected_one(
        self, expected: Any, status: str, ctx: HandlerContext, peer: Peer
    ) -> None:
        url = peer.route("/gone", lambda exchange: exchange.reply(404, b"gone"))
        check = found(ctx, type="http", url=url, expectedStatus=expected)
        assert (check.status, check.http_status) == (status, 404)
        assert check.code == (None if status == "ok" else "unexpected_status")

    @pytest.mark.parametrize(
        ("wanted", "code"), [({"contains": "welcome"}, "text_missing"), ({"notContains": "Fehler"}, "text_found")]
    )
    def test_the_body_must_hold_what_it_should(
        self, wanted: dict[str, str], code: str, ctx: HandlerContext, peer: Peer
    ) -> None:
        body = "Ein Fehler ist aufgetreten: ü".encode("latin-1")
        url = peer.route("/", lambda exchange: exchange.reply(200, body, content_type="text/html; charset=latin-1"))
        assert found(ctx, type="http", url=url, **wanted).code == code

    def test_an_endless_body_is_searched_at_its_start_only(self, ctx: HandlerContext, peer: Peer) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200, b"x" * 3_000_000 + b"end"))
        assert found(ctx, type="http", url=url, contains="end").code == "text_missing"
        assert found(ctx, type="http", url=url, contains="xxx").status == "ok"

    def test_latency_has_two_thresholds(self, ctx: HandlerContext, peer: Peer) -> None:
        def slow(exchange: Any) -> None:
            peer.over.wait(0.12)
            exchange.reply(200)

        url = peer.route("/", slow)
        patient = found(ctx, type="http", url=url, warnMs=60_000, criticalMs=90_000)
        warned = found(ctx, type="http", url=url, warnMs=100, criticalMs=90_000)
        failed = found(ctx, type="http", url=url, warnMs=50, criticalMs=100)
        assert [item.status for item in (patient, warned, failed)] == ["ok", "warning", "critical"]
        assert [item.code for item in (patient, warned, failed)] == [None, "slow", "slow"]

    def test_a_server_that_does_not_answer_in_time_is_critical(self, ctx: HandlerContext, peer: Peer) -> None:
        silent = peer.route("/silent", lambda exchange: exchange.stall())
        dripping = peer.route("/drip", lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\n" * 100))
        for url in (silent, dripping):
            check = found(ctx, type="http", url=url, timeout=300)
            assert (check.status, check.code) == ("critical", "http_timeout")

    def test_redirects_are_followed_unless_told_otherwise(self, ctx: HandlerContext, peer: Peer) -> None:
        peer.route("/new", lambda exchange: exchange.reply(200, b"new"))
        url = peer.route("/old", lambda exchange: exchange.reply(301, location="/new"))
        assert found(ctx, type="http", url=url, contains="new").status == "ok"
        assert found(ctx, type="http", url=url, followRedirects=False, expectedStatus=301).status == "ok"
        endless = peer.route("/round", lambda exchange: exchange.reply(302, location="/round"))
        assert found(ctx, type="http", url=endless).code == "too_many_redirects"

    def test_what_may_not_be_reached_is_critical_and_says_so(self, ctx: HandlerContext, peer: Peer) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(302, location="http://169.254.169.254/latest/"))
        for target in ("http://10.0.0.1/", "http://[::1]/", url):
            assert found(ctx, type="http", url=target, timeout=2000).code == "egress_refused"

    def test_headers_are_sent(self, ctx: HandlerContext, peer: Peer) -> None:
        url = peer.route("/", lambda exchange: exchange.reply(200))
        found(ctx, type="http", url=url, headers={"X-Probe": "häuslich"}, method="HEAD")
        assert peer.requests[0].method == "HEAD"
        assert peer.requests[0].headers["x-probe"].encode("latin-1").decode() == "häuslich"


class TestTcp:
    def test_an_open_port_is_ok(self, ctx: HandlerContext, mute: int) -> None:
        check = found(ctx, type="tcp", host="127.0.0.1", port=mute)
        assert (check.status, check.target) == ("ok", f"127.0.0.1:{mute}")

    def test_a_closed_one_is_critical(self, ctx: HandlerContext, closed: int) -> None:
        check = found(ctx, type="tcp", host="127.0.0.1", port=closed)
        assert (check.status, check.code, check.message) == ("critical", "unreachable", "Connection refused")

    def test_a_name_that_does_not_exist_is_critical(self, ctx: HandlerContext) -> None:
        assert found(ctx, type="tcp", host="nobody.invalid", port=80).code == "unresolved"

    @pytest.mark.parametrize("host", ["10.0.0.1", "::1", "[::1]", "169.254.169.254", "127.0.0.2"])
    def test_private_addresses_are_refused(self, host: str, ctx: HandlerContext) -> None:
        assert found(ctx, type="tcp", host=host, port=22).code == "egress_refused"

    def test_latency_counts_here_too(self, ctx: HandlerContext, mute: int) -> None:
        assert found(ctx, type="tcp", host="127.0.0.1", port=mute, warnMs=60_000).status == "ok"


class TestTls:
    @pytest.mark.parametrize(
        ("days", "status", "code"),
        [
            (90, "ok", None),
            (30, "ok", None),
            (29, "warning", "certificate_expires"),
            (7, "warning", "certificate_expires"),
            (6, "critical", "certificate_expires"),
            (-3, "critical", "certificate_expired"),
        ],
    )
    def test_days_left_have_two_thresholds(
        self, days: int, status: str, code: str | None, ctx: HandlerContext, serving: Serving, authority: Authority
    ) -> None:
        port = serving(days)
        check = found(ctx, type="tls", host="127.0.0.1", port=port, serverName="localhost", caPem=authority.pem)
        assert (check.status, check.code, check.days_left) == (status, code, days)
        assert check.certificate is not None
        assert check.certificate["names"] == ["localhost"]
        assert check.certificate["issuer"] == "CN=Authority of the tests"
        assert check.certificate["verified"] is (days > 0)
        assert check.expires_at is not None

    def test_an_authority_that_nobody_knows_is_critical_unless_told_not_to_verify(
        self, ctx: HandlerContext, serving: Serving
    ) -> None:
        target = {"type": "tls", "host": "127.0.0.1", "port": serving(90), "serverName": "localhost"}
        check = found(ctx, **target)
        assert (check.status, check.code, check.days_left) == ("critical", "certificate_refused", 90)
        assert found(ctx, **target, verify=False).status == "ok"

    def test_a_certificate_for_another_name_is_critical(
        self, ctx: HandlerContext, serving: Serving, authority: Authority
    ) -> None:
        port = serving(90, "other.test")
        check = found(ctx, type="tls", host="127.0.0.1", port=port, serverName="localhost", caPem=authority.pem)
        assert check.code == "certificate_refused"
        assert "localhost" in check.message

    def test_a_server_that_speaks_no_tls_is_critical(self, ctx: HandlerContext, peer: Peer) -> None:
        assert found(ctx, type="tls", host="127.0.0.1", port=peer.port).code == "tls_failed"

    def test_a_server_that_says_nothing_ends_with_the_time_limit(self, ctx: HandlerContext, mute: int) -> None:
        check = found(ctx, type="tls", host="127.0.0.1", port=mute, timeout=300)
        assert (check.status, check.code) == ("critical", "timeout")

    def test_a_server_that_drips_ends_with_the_time_limit_too(self, ctx: HandlerContext) -> None:
        over = threading.Event()

        def drip(listener: socket.socket) -> None:
            connection, _ = listener.accept()
            with connection:
                # The head of a handshake record that announces 16 KB, and then a byte now and then.
                connection.sendall(b"\x16\x03\x03\x40\x00")
                while not over.wait(0.05):
                    try:
                        connection.sendall(b"\x00")
                    except OSError:
                        return

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=drip, args=[listener])
            thread.start()
            try:
                port = listener.getsockname()[1]
                assert found(ctx, type="tls", host="127.0.0.1", port=port, timeout=400).code == "timeout"
            finally:
                over.set()
                thread.join()

    def test_private_addresses_are_refused(self, ctx: HandlerContext) -> None:
        assert found(ctx, type="tls", host="10.0.0.1").code == "egress_refused"

    def test_an_authority_that_is_no_certificate_is_named(self, ctx: HandlerContext) -> None:
        assert found(ctx, type="tls", host="127.0.0.1", caPem="no PEM").code == "bad_certificate"


class TestOutcome:
    def test_several_targets_are_counted_and_the_worst_decides(
        self, ctx: HandlerContext, peer: Peer, closed: int, serving: Serving, authority: Authority
    ) -> None:
        targets: list[dict[str, Any]] = [
            {"type": "http", "name": "the page", "url": peer.route("/", lambda exchange: exchange.reply(200))},
            {
                **{"type": "tls", "host": "127.0.0.1", "port": serving(20), "serverName": "localhost"},
                "caPem": authority.pem,
            },
            {"type": "tcp", "name": "the database", "host": "127.0.0.1", "port": closed},
        ]
        output = monitored(ctx, *targets, failOn="never")
        assert output.status == "critical"
        assert output.counts == {"ok": 1, "warning": 1, "critical": 1}
        assert [item.status for item in output.checks] == ["ok", "warning", "critical"]
        assert monitored(ctx, *targets[:2]).status == "warning"
        with pytest.raises(PermanentError) as caught:
            monitored(ctx, *targets)
        info = caught.value.info
        assert info.code == "check_failed"
        assert info.message == "1 of 3 checks failed: the database: Connection refused"
        assert info.details["counts"] == output.counts
        with pytest.raises(PermanentError) as caught:
            monitored(ctx, *targets[:2], failOn="warning")
        assert "ends in 20 days" in caught.value.info.message

    def test_a_check_is_repeated_before_it_counts(self, ctx: HandlerContext, peer: Peer) -> None:
        answers = [503, 503, 200]
        url = peer.route("/", lambda exchange: exchange.reply(answers.pop(0)))
        (check,) = monitored(ctx, {"type": "http", "url": url}, repeats=5, repeatPause=0).checks
        assert (check.status, check.attempts) == ("ok", 3)
        answers += [500] * 3
        with pytest.raises(PermanentError):
            monitored(ctx, {"type": "http", "url": url}, repeats=1, repeatPause=0)
        assert len(answers) == 1

    def test_cancelled_it_checks_nothing_more(self, ctx: HandlerContext, peer: Peer) -> None:
        def stop(exchange: Any) -> None:
            ctx.stop = True
            exchange.reply(200)

        url = peer.route("/", stop)
        with pytest.raises(TransientError) as caught:
            monitored(ctx, {"type": "http", "url": url}, {"type": "http", "url": url})
        assert caught.value.info.code == "interrupted"
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("config", "loc"),
    [
        ({"targets": []}, ("targets",)),
        ({"targets": [{"type": "icmp", "host": "x"}]}, ("targets", 0)),
        ({"targets": [{"type": "http", "url": "ftp://x"}]}, ("targets", 0, "http", "url")),
        ({"targets": [{"type": "tcp", "host": "a b", "port": 1}]}, ("targets", 0, "tcp", "host")),
        ({"targets": [{"type": "tcp", "host": "a", "port": 0}]}, ("targets", 0, "tcp", "port")),
        ({"targets": [{"type": "tcp", "host": "a", "port": 1, "warnMs": 9, "criticalMs": 5}]}, ("targets", 0, "tcp")),
        ({"targets": [{"type": "tls", "host": "a", "warnDays": 1, "criticalDays": 5}]}, ("targets", 0, "tls")),
        ({"targets": [{"type": "tls", "host": "a", "contains": "x"}]}, ("targets", 0, "tls", "contains")),
    ],
)
def test_a_wrong_config_names_the_field(config: dict[str, Any], loc: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        MonitoringConfig.model_validate(config)
    assert [fault["loc"] for fault in caught.value.errors()] == [loc]
