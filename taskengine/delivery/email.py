"""Messages by SMTP, over TLS unless the operator says otherwise.

| code | kind | when |
| --- | --- | --- |
| smtp_not_configured | tried again | TASKENGINE_SMTP_URL is not set |
| smtp_refused | final for 5xx, else tried again | the server refused the address or the message |
| smtp_login_failed | tried again | the server took neither user nor password |
| smtp_connection | tried again | lookup, connection, TLS or transfer failed, or no answer in time |
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from taskengine.delivery.messages import subject_line
from taskengine.delivery.time_limit import TimeLimitExceeded, time_limit
from taskengine.delivery.webhook import Receipt
from taskengine.domain.cleaning import clean_text
from taskengine.domain.errors import HandlerError, PermanentError, TransientError

_PORTS = {"smtp": 587, "smtps": 465}
# Names of the operator's own network are good names too; the library says to take them off its list.
SPECIAL_USE_DOMAIN_NAMES[:] = [name for name in SPECIAL_USE_DOMAIN_NAMES if name not in {"local", "localhost", "test"}]


def check_address(text: str) -> str:
    """An e-mail address in its usual spelling; ValueError with the fault. No name server is asked."""
    try:
        return validate_email(text, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as error:
        raise ValueError(f"is no e-mail address: {error}") from None


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in: ``smtps://user:password@host:465``, or ``smtp://host:587`` with STARTTLS.

    ``?tls=off`` sends in clear, for a server on the same machine.
    """

    host: str
    port: int
    user: str
    password: str
    tls: str
    """``implicit``, ``starttls`` or ``off``."""
    sender: str


def mail_server(url: str, sender: str) -> MailServer:
    """Reads TASKENGINE_SMTP_URL and TASKENGINE_SMTP_FROM; ValueError says what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("should read smtps://user:password@host:465 or smtp://user:password@host:587")
    wanted = parse_qs(parts.query).get("tls", [""])[0]
    tls = "implicit" if parts.scheme == "smtps" else wanted or "starttls"
    if tls not in {"implicit", "starttls", "off"} or (wanted and parts.scheme == "smtps"):
        raise ValueError("tls is starttls or off, and of smtp:// only")
    check_address(parseaddr(sender)[1])
    port = parts.port or _PORTS[parts.scheme]
    return MailServer(
        parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""), tls, subject_line(sender)
    )


def compose(sender: str, to: str, delivery_id: UUID, payload: Mapping[str, Any], at: datetime) -> EmailMessage:
    """A message; its Message-ID is the same for all attempts, so that doubles can be told. ValueError if unfit.

    No text can begin another header: the library refuses line ends in any, and the subject holds none.
    """
    message = EmailMessage(policy=SMTP)
    name, address = parseaddr(sender)
    local, _, domain = address.rpartition("@")
    message["From"] = Address(name, local, domain)
    user, _, host = check_address(to).rpartition("@")
    message["To"] = Address("", user, host)
    message["Subject"] = subject_line(str(payload["subject"]))
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{delivery_id.hex}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(clean_text(str(payload["text"])), cte="quoted-printable")
    return message


def send_email(
    server: MailServer | None, to: str, delivery_id: UUID, payload: Mapping[str, Any], at: datetime, seconds: float
) -> Receipt:
    """Hand a message to the mail server; the errors are those of the table above. ``at`` is when it was queued."""
    if server is None:
        raise TransientError(
            "smtp_not_configured",
            "there is no mail server: an operator sets TASKENGINE_SMTP_URL and TASKENGINE_SMTP_FROM",
        )
    try:
        message = compose(server.sender, to, delivery_id, payload, at.astimezone(UTC))
    except (ValueError, MessageError) as error:
        raise PermanentError("smtp_refused", f"the message cannot be put as an e-mail: {error}") from None
    try:
        with time_limit(seconds) as limit, _translated(), _connected(server, seconds) as client:
            assert client.sock is not None
            limit.watch(client.sock)
            if server.user:
                client.login(server.user, server.password)
            client.send_message(message)
    except TimeLimitExceeded:
        text = f"the mail server did not take the message within {seconds:g} s"
        raise TransientError("smtp_connection", text) from None
    return Receipt(250, "the mail server took it")


@contextmanager
def _connected(server: MailServer, seconds: float) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    client: smtplib.SMTP
    if server.tls == "implicit":
        client = smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=context)
    else:
        client = smtplib.SMTP(server.host, server.port, timeout=seconds)
    with client:
        if server.tls == "starttls":
            client.starttls(context=context)
        yield client


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except HandlerError:
        raise
    except smtplib.SMTPAuthenticationError as error:
        text = f"the mail server refused the login ({error.smtp_code}); see TASKENGINE_SMTP_URL"
        raise TransientError("smtp_login_failed", text, _answer(error.smtp_code, error.smtp_error)) from None
    except smtplib.SMTPRecipientsRefused as error:
        [(code, said), *_] = error.recipients.values()
        raise _refused("address", code, said) from None
    except smtplib.SMTPResponseException as error:
        raise _refused("message", error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPNotSupportedError as error:
        raise PermanentError("smtp_refused", f"the mail server cannot take this: {error}") from None
    except (smtplib.SMTPException, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise TransientError("smtp_connection", f"the mail server could not be reached: {reason}") from None


def _answer(code: int, said: bytes | str) -> dict[str, Any]:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return {"status": code, "answer": clean_text(text[:1000])}


def _refused(what: str, code: int, said: bytes | str) -> HandlerError:
    kind = PermanentError if 500 <= code < 600 else TransientError
    details = _answer(code, said)
    return kind("smtp_refused", f"the mail server refused the {what}: {code} {details['answer'][:200]}", details)
