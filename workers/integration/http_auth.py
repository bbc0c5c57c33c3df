"""The credentials of an HTTP call, OAuth 2.0 client credentials included."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error

from taskengine.delivery.time_limit import TimeLimit
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context
from workers.integration.http_body import Body, receive
from workers.integration.http_config import ApiCallConfig
from workers.integration.http_errors import status_error, transport_errors
from workers.integration.http_redact import Redactor, basic_pair

EXPIRY_MARGIN_SECONDS = 30
"""A cached token is dropped this long before it expires, so that it does not expire on the way."""
DEFAULT_TOKEN_SECONDS = 300
"""Assumed life of a token whose server names none."""
_TOKEN_BYTES = 1 * 2**20
_CACHE_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """What authentication adds to a request."""

    headers: dict[str, str]
    query: dict[str, str]


def static_credentials(config: ApiCallConfig) -> Credentials:
    """The credentials that the config holds itself; none for ``oauth2``."""
    if config.auth_type == "bearer" and config.bearer_token is not None:
        return bearer(config.bearer_token.get_secret_value())
    if config.auth_type == "basic" and config.password is not None:
        return basic(config.username or "", config.password.get_secret_value())
    if config.auth_type == "api_key" and config.api_key is not None:
        pair = {config.api_key_name: config.api_key.get_secret_value()}
        return Credentials(pair, {}) if config.api_key_in == "header" else Credentials({}, pair)
    return Credentials({}, {})


def bearer(token: str) -> Credentials:
    """A bearer token (RFC 6750)."""
    return Credentials({"Authorization": f"Bearer {token}"}, {})


def basic(username: str, password: str) -> Credentials:
    """HTTP Basic in UTF-8 (RFC 7617)."""
    return Credentials({"Authorization": f"Basic {basic_pair(username, password)}"}, {})


class TokenCache:
    """OAuth tokens of this process, each until shortly before it expires.

    The key holds the organization and a digest of the secret, so nobody gets a token without the credentials for it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    def get(self, key: tuple[str, ...]) -> str | None:
        """The token, or None when there is none that is still good."""
        with self._lock:
            token, until = self._tokens.get(key, ("", 0.0))
            return token if token and self._clock() < until else None

    def put(self, key: tuple[str, ...], token: str, seconds: float) -> None:
        """Keep a token that expires in ``seconds``; the oldest makes room when there are too many."""
        with self._lock:
            self._tokens.pop(key, None)
            while len(self._tokens) >= _CACHE_SIZE:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[key] = (token, self._clock() + seconds - EXPIRY_MARGIN_SECONDS)

    def drop(self, key: tuple[str, ...]) -> None:
        """Forget a token that was refused."""
        with self._lock:
            self._tokens.pop(key, None)


def token_key(ctx: Context, config: ApiCallConfig) -> tuple[str, ...]:
    """What a cached token depends on."""
    secret = config.client_secret.get_secret_value() if config.client_secret else ""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return (
        str(ctx.organization_id),
        config.token_url or "",
        config.client_id or "",
        digest,
        config.scope or "",
        config.client_auth,
    )


def fetch_token(
    ctx: Context, session: requests.Session, config: ApiCallConfig, limit: TimeLimit, redact: Redactor
) -> tuple[str, float]:
    """Ask the token endpoint (RFC 6749 section 4.4); returns the token and its life in seconds.

    Raises the errors of ``http_errors``; ``oauth_failed`` when the endpoint refuses or answers no token.
    """
    url = redact.url(config.token_url or "")
    with ctx.step(f"POST {url}", type="http") as step, transport_errors(f"token request to {url}", limit):
        form, headers = _token_request(config)
        response = session.post(
            config.token_url or "",
            data=form,
            headers=headers,
            stream=True,
            timeout=limit.remaining_seconds(),
            allow_redirects=False,
        )
        try:
            step.result({"method": "POST", "url": url, "status": response.status_code})
            body = receive(response, _TOKEN_BYTES, limit, ctx)
        finally:
            response.close()
        with body.file:
            return _read_token(response, body, redact)


def _token_request(config: ApiCallConfig) -> tuple[str, dict[str, str]]:
    secret = config.client_secret.get_secret_value() if config.client_secret else ""
    client = BackendApplicationClient(config.client_id)
    in_body = config.client_auth == "body"
    extra = {"client_secret": secret} if in_body else {}
    form: str = client.prepare_request_body(scope=config.scope, include_client_id=in_body, **extra)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if not in_body:
        headers |= basic(config.client_id or "", secret).headers
    return form, headers


def _read_token(response: requests.Response, body: Body, redact: Redactor) -> tuple[str, float]:
    status = response.status_code
    text = body.content().decode("utf-8", errors="replace")
    details = {"status": status}
    try:
        # The granted scope may be named otherwise than asked for: comparing them is left to the API.
        token: dict[str, Any] = BackendApplicationClient("").parse_request_body_response(text)
    except OAuth2Error as error:
        message = f"the token endpoint answered {status}: {redact.text(str(error))}"
        if status < 400:
            raise PermanentError("oauth_failed", message, details) from None
        raise status_error("oauth_failed", message, status, response.headers, details) from None
    except (ValueError, TypeError, AttributeError):  # neither a JSON object nor a form
        token = {}
    access = token.get("access_token")
    if status >= 400 or not isinstance(access, str) or not access:
        message = f"the token endpoint answered {status} without a token"
        raise status_error("oauth_failed", message, status, response.headers, details)
    redact.add(access)
    return access, _life_seconds(token.get("expires_in"))


def _life_seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else DEFAULT_TOKEN_SECONDS
