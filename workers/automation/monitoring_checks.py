"""The checks themselves: each answers with what it found, and never raises for what a target does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
from cryptography import x509

from taskengine.delivery.time_limit import TimeLimit, time_limit
from taskengine.domain.errors import HandlerError
from taskengine.handlers.base import Context
from workers.automation.monitoring_config import Health, HttpTarget, TcpTarget, Timed, TlsTarget
from workers.integration.http_errors import transport_errors

BODY_BYTES = 1024 * 1024
"""So much of a body is searched."""
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    status: Health
    message: str
    code: str | None = None
    latency_ms: float | None = None
    http_status: int | None = None
    expires_at: datetime | None = None
    days_left: int | None = None
    certificate: dict[str, str | list[str] | bool] | None = field(default=None)


def check(ctx: Context, target: HttpTarget | TcpTarget | TlsTarget) -> Finding:
    """Check a target once."""
    match target:
        case HttpTarget():
            return _http(ctx, target)
        case TcpTarget():
            return _tcp(ctx, target)
        case TlsTarget():
            return _tls(ctx, target)


def shown(target: HttpTarget | TcpTarget | TlsTarget) -> str:
    """The target in short: no query, no credentials."""
    if isinstance(target, HttpTarget):
        parts = urlsplit(target.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _http(ctx: Context, target: HttpTarget) -> Finding:
    what = f"{target.method} {shown(target)}"
    try:
        with time_limit(target.timeout / 1000) as limit, transport_errors(what, limit):
            return _asked(ctx, target, limit)
    except HandlerError as error:
        return Finding("critical", error.info.message, error.info.code)


def _asked(ctx: Context, target: HttpTarget, limit: TimeLimit) -> Finding:
    started = time.monotonic()
    try:
        response = ctx.http().request(
            target.method,
            target.url,
            headers={name: value.encode() for name, value in target.headers.items()},
            stream=True,
            allow_redirects=target.follow_redirects,
            timeout=limit.remaining_seconds(),
        )
    except requests.TooManyRedirects:
        return Finding("critical", "redirects without end", "too_many_redirects")
    with response:
        finding = replace(_quickness(target, started), http_status=response.status_code)
        if not target.expects(response.status_code):
            said = f"answered {response.status_code}"
            return replace(finding, status="critical", message=said, code="unexpected_status")
        if target.contains is None and target.not_contains is None:
            return finding
        return _searched(target, _start_of(response, limit), finding)


def _searched(target: HttpTarget, text: str, finding: Finding) -> Finding:
    where = f"in the first {BODY_BYTES} bytes of the body"
    if target.contains is not None and target.contains not in text:
        return replace(finding, status="critical", message=f"the text is not {where}", code="text_missing")
    if target.not_contains is not None and target.not_contains in text:
        return replace(finding, status="critical", message=f"the unwanted text is {where}", code="text_found")
    return finding


def _start_of(response: requests.Response, limit: TimeLimit) -> str:
    start = b""
    for chunk in response.iter_content(_CHUNK_BYTES):
        limit.check()
        start += chunk
        if len(start) >= BODY_BYTES:
            break
    try:
        return start[:BODY_BYTES].decode(response.encoding or "utf-8", errors="replace")
    except LookupError:  # a charset that nobody knows
        return start[:BODY_BYTES].decode("utf-8", errors="replace")


def _tcp(ctx: Context, target: TcpTarget) -> Finding:
    started = time.monotonic()
    try:
        ctx.connect(target.host, target.port, target.timeout / 1000).close()
    except (HandlerError, OSError) as error:
        return _unreached(target, error)
    return _quickness(target, started)


def _tls(ctx: Context, target: TlsTarget) -> Finding:
    """Shake hands as a client that verifies; if that refuses the certificate, once more to read it."""
    try:
        context = ssl.create_default_context(cadata=target.ca_pem) if target.verify else _lenient()
    except (ssl.SSLError, ValueError) as error:
        return Finding("critical", f"caPem cannot be read: {error}", "bad_certificate")
    started = time.monotonic()
    refusal = ""
    try:
        try:
            encoded = _certificate(ctx, target, context)
        except ssl.SSLCertVerificationError as error:
            refusal = error.verify_message
            encoded = _certificate(ctx, target, _lenient())
        latency = _since(started)
        certificate = x509.load_der_x509_certificate(encoded)
    except (HandlerError, OSError) as error:
        return _unreached(target, error)
    except ValueError as error:
        return Finding("critical", f"the certificate cannot be read: {error}", "bad_certificate")
    return replace(_validity(target, certificate, refusal), latency_ms=latency)


def _lenient() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certificate(ctx: Context, target: TlsTarget, context: ssl.SSLContext) -> bytes:
    name = target.server_name or target.host
    with (
        ctx.connect(target.host, target.port, target.timeout / 1000) as plain,
        context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False) as secured,
        _watched(secured, target.timeout / 1000),
    ):
        secured.do_handshake()
        return secured.getpeercert(binary_form=True) or b""


@contextlib.contextmanager
def _watched(connection: socket.socket, seconds: float) -> Iterator[None]:
    """End the connection when the time is up: a peer that sends a byte now and then renews the socket's own limit."""
    try:
        with time_limit(seconds) as limit:
            limit.watch(connection)
            yield
    except HandlerError:
        raise TimeoutError("timed out") from None


def _validity(target: TlsTarget, certificate: x509.Certificate, refusal: str) -> Finding:
    expires = certificate.not_valid_after_utc
    days = (expires - datetime.now(UTC)).days
    finding = Finding(
        "ok",
        f"valid for {days} more days",
        expires_at=expires,
        days_left=days,
        certificate={
            "subject": certificate.subject.rfc4514_string(),
            "issuer": certificate.issuer.rfc4514_string(),
            "names": _names(certificate),
            "verified": target.verify and not refusal,
        },
    )
    if days < 0:
        return replace(finding, status="critical", message=f"ended {-days} days ago", code="certificate_expired")
    if refusal:
        return replace(finding, status="critical", message=f"not trusted: {refusal}", code="certificate_refused")
    if days < target.critical_days:
        return replace(finding, status="critical", message=f"ends in {days} days", code="certificate_expires")
    if days < target.warn_days:
        return replace(finding, status="warning", message=f"ends in {days} days", code="certificate_expires")
    return finding


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for name in names][:100]


def _quickness(target: Timed, started: float) -> Finding:
    """Ok, warning or critical by the time it took until now."""
    latency = _since(started)
    for limit, status in ((target.critical_ms, "critical"), (target.warn_ms, "warning")):
        if limit is not None and latency >= limit:
            said = f"took {latency:.0f} ms, {status} from {limit} ms on"
            return Finding("critical" if status == "critical" else "warning", said, "slow", latency)
    return Finding("ok", f"answered in {latency:.0f} ms", latency_ms=latency)


def _unreached(target: TcpTarget | TlsTarget, error: Exception) -> Finding:
    match error:
        case HandlerError():
            return Finding("critical", error.info.message, error.info.code)
        case socket.gaierror():
            return Finding("critical", f"the name {target.host} could not be resolved", "unresolved")
        case ssl.SSLError():
            return Finding("critical", f"no TLS handshake: {error.reason or error}", "tls_failed")
        case TimeoutError():
            return Finding("critical", f"no answer within {target.timeout} ms", "timeout")
    return Finding("critical", str(getattr(error, "strerror", None) or error), "unreachable")


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
