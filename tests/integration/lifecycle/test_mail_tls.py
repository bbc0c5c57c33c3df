"""Mail goes over TLS with a certificate that holds, and with the login of the settings."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from taskengine.delivery.email import mail_server, send_email
from taskengine.domain.errors import TransientError
from tests.integration.lifecycle.receivers import Mailbox
from tests.integration.lifecycle.receivers import mail_server as running

SENDER = "engine@example.org"
PAYLOAD = {"subject": "Hello", "text": "there"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def mailbox(certificate: Path) -> Iterator[Mailbox]:
    """A mail server that takes nothing but with STARTTLS, and from engine with the password p@ss only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def authenticate(server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
        login, password = getattr(data, "login", b""), getattr(data, "password", b"")
        return AuthResult(success=(login, password) == (b"engine", b"p@ss"), handled=False)

    with running(tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True) as box:
        yield box


def url(box: Mailbox, login: str = "engine:p%40ss") -> str:
    return f"smtp://{login}@localhost:{box.port}"


def test_it_goes_over_tls_with_the_login(mailbox: Mailbox, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    receipt = send_email(mail_server(url(mailbox), SENDER), "a@example.org", uuid4(), PAYLOAD, datetime.now(UTC), 10)
    assert receipt.status == 250
    assert [message["Subject"] for message in mailbox.messages] == ["Hello"]


def test_a_login_that_is_refused_is_told_without_the_password(
    mailbox: Mailbox, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = mail_server(url(mailbox, "engine:wrong-word"), SENDER)
    with pytest.raises(TransientError) as caught:
        send_email(server, "a@example.org", uuid4(), PAYLOAD, datetime.now(UTC), 10)
    assert caught.value.info.code == "smtp_login_failed"
    assert "wrong-word" not in str(caught.value.info)


def test_a_certificate_that_nobody_vouches_for_gets_nothing(mailbox: Mailbox) -> None:
    with pytest.raises(TransientError) as caught:
        send_email(mail_server(url(mailbox), SENDER), "a@example.org", uuid4(), PAYLOAD, datetime.now(UTC), 10)
    assert caught.value.info.code == "smtp_connection"
    assert mailbox.messages == []
