"""What a monitoring task is told, and what it answers."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from taskengine.handlers.base import HandlerConfig, HandlerOutput
from workers.integration.http_config import HttpUrl, Status, check_header

Health = Literal["ok", "warning", "critical"]

_HOST = re.compile(r"\[?[A-Za-z0-9._:-]{1,253}\]?")


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("must be a host name or an address")
    return text.strip("[]")


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_header(name, value)
    return headers


Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
Timeout = Annotated[int, Field(ge=1, le=120_000)]


class Target(HandlerConfig):
    """What all targets may say."""

    name: str | None = Field(
        None, min_length=1, max_length=200, description="Name in the result; by default the target."
    )
    timeout: Timeout = Field(10_000, description="Milliseconds after which the check is critical.")


class Timed(Target):
    """A target whose quickness counts."""

    warn_ms: Milliseconds | None = Field(None, description="From this latency on it is a warning.")
    critical_ms: Milliseconds | None = Field(None, description="From this latency on it is critical.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn_ms is not None and self.critical_ms is not None and self.warn_ms > self.critical_ms:
            raise ValueError("warnMs must not be above criticalMs")
        return self


class HttpTarget(Timed):
    """A URL that should answer."""

    type: Literal["http"] = Field(description="An HTTP request.")
    url: HttpUrl = Field(description="URL to ask.", examples=["https://example.com/health"])
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = Field("GET", description="HTTP method.")
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field({}, description="Further request headers.")
    expected_status: Status | list[Status] | None = Field(
        None, description="Status, or list of them, that is ok; by default any 2xx."
    )
    contains: str | None = Field(None, min_length=1, max_length=10_000, description="Text that the body must hold.")
    not_contains: str | None = Field(
        None, min_length=1, max_length=10_000, description="Text that the body must not hold."
    )
    follow_redirects: bool = Field(True, description="Follow redirects, and check what they lead to.")

    def expects(self, status: int) -> bool:
        """Whether this status is ok."""
        if self.expected_status is None:
            return 200 <= status < 300
        return status in (self.expected_status if isinstance(self.expected_status, list) else [self.expected_status])


class TcpTarget(Timed):
    """A port that should be open."""

    type: Literal["tcp"] = Field(description="A TCP connection.")
    host: Host = Field(description="Host name or address.")
    port: Port = Field(description="Port.")


class TlsTarget(Target):
    """A certificate that should be valid, and for a while yet."""

    type: Literal["tls"] = Field(description="The certificate of a TLS server.")
    host: Host = Field(description="Host name or address.")
    port: Port = Field(443, description="Port.")
    server_name: Host | None = Field(
        None, description="Name to ask for, which the certificate must cover; by default the host."
    )
    verify: bool = Field(
        True, description="Whether a certificate that is not trusted, or for another name, is critical."
    )
    ca_pem: str | None = Field(
        None,
        max_length=200_000,
        description="Certificates (PEM) to trust instead of the system's: of a private authority.",
    )
    warn_days: int = Field(30, ge=0, le=3650, description="With fewer days left it is a warning.")
    critical_days: int = Field(7, ge=0, le=3650, description="With fewer days left it is critical.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn_days < self.critical_days:
            raise ValueError("warnDays must not be below criticalDays")
        return self


AnyTarget = Annotated[HttpTarget | TcpTarget | TlsTarget, Field(discriminator="type")]


class MonitoringConfig(HandlerConfig):
    """What to check, and when the task fails."""

    targets: list[AnyTarget] = Field(
        min_length=1, max_length=100, description="What to check, one after the other; each names its `type`."
    )
    fail_on: Literal["critical", "warning", "never"] = Field(
        "critical",
        description="Fail the task with `check_failed` when a check is critical, at least a warning, or never.",
    )
    repeats: int = Field(
        0, ge=0, le=5, description="A check that is not ok is made again up to so often; the last one counts."
    )
    repeat_pause: int = Field(1000, ge=0, le=60_000, description="Milliseconds before a check is made again.")


class CheckResult(HandlerOutput):
    """How one target was found."""

    name: str = Field(description="The target's name.")
    type: Literal["http", "tcp", "tls"] = Field(description="Kind of check.")
    target: str = Field(description="What was checked: a URL without its query, or host:port.")
    status: Health = Field(description="ok, warning or critical.")
    message: str = Field(description="Why, in words.")
    code: str | None = Field(description="What went wrong, for machines; null if ok.")
    latency_ms: float | None = Field(
        description="Until the answer's head came (http), the connection stood (tcp), the handshake was done (tls)."
    )
    http_status: int | None = Field(description="HTTP status of the answer.")
    expires_at: datetime | None = Field(description="When the certificate ends.")
    days_left: int | None = Field(description="Whole days until then; negative when it is over.")
    certificate: dict[str, str | list[str] | bool] | None = Field(
        description="The certificate: subject, issuer, names, whether it was verified."
    )
    attempts: int = Field(description="How often it was checked.")


class MonitoringOutput(HandlerOutput):
    """How all targets were found."""

    status: Health = Field(description="The worst of all checks.")
    checks: list[CheckResult] = Field(description="Each target, in the order of the config.")
    counts: dict[Health, int] = Field(description="How many checks were ok, warning and critical.")
