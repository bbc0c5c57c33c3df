"""api_call: one HTTP request to an API, its answer checked, parsed and kept.

The way of a call: build the request, send it through the guarded client, follow redirects one by one, receive the
body within its bounds, judge the status, make the result. Failures are listed in ``http_errors``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

import orjson
import requests
from pydantic import JsonValue
from requests.structures import CaseInsensitiveDict

from taskengine.delivery.time_limit import TimeLimit, time_limit
from taskengine.domain.errors import HandlerError, PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, StepRecord
from workers.integration.http_auth import (
    Credentials,
    TokenCache,
    basic,
    bearer,
    fetch_token,
    static_credentials,
    token_key,
)
from workers.integration.http_body import (
    INLINE_BYTES,
    Body,
    extract_values,
    inline_value,
    parse_json,
    receive,
    receive_start,
)
from workers.integration.http_config import ApiCallConfig, ApiCallOutput, Redirect, StoredBody
from workers.integration.http_errors import status_error, transport_errors
from workers.integration.http_redact import Redactor, redactor_for

_CHANGING = frozenset(("POST", "PATCH", "PUT", "DELETE"))
_HIDDEN_HEADERS = frozenset(("set-cookie", "set-cookie2", "authorization", "proxy-authorization"))
_HEADER_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class _Call:
    """What every part of one call needs."""

    ctx: Context
    session: requests.Session
    config: ApiCallConfig
    limit: TimeLimit
    redact: Redactor


@dataclass(frozen=True, slots=True)
class _Answer:
    """An expected answer, its body received."""

    response: requests.Response
    body: Body
    redirects: list[Redirect]
    duration_ms: int


class ApiCall(Handler[ApiCallConfig]):
    """Calls an HTTP API."""

    type_name = "api_call"
    queue = "integration"
    description = (
        "Calls an HTTP API and returns the parsed answer; bearer, API key, basic and OAuth 2.0 client credentials."
    )
    Config = ApiCallConfig
    Output = ApiCallOutput
    example = MappingProxyType(
        {
            "apiEndpoint": "https://api.example.com/v1/resource",
            "apiMethod": "POST",
            "apiPayload": {"key": "value"},
            "authType": "bearer",
            "bearerToken": "{{ secrets.EXAMPLE_TOKEN }}",
            "customHeaders": {"X-Custom-Header": "value"},
            "timeout": 30000,
            "extract": {"id": "/id"},
        }
    )

    def __init__(self) -> None:
        self._tokens = TokenCache()

    def run(self, ctx: Context, config: ApiCallConfig) -> Outcome:
        """Make the call; raises the errors of ``http_errors``."""
        redact = redactor_for(config)
        left = (ctx.deadline - datetime.now(UTC)).total_seconds()
        with time_limit(max(min(config.timeout / 1000, left), 0.001)) as limit:
            answer = self._authorized(_Call(ctx, ctx.http(), config, limit, redact))
        with answer.body.file:
            return Succeeded(_output(ctx, config, answer, redact))

    def _authorized(self, call: _Call) -> _Answer:
        """Call with the config's credentials; an OAuth token from the cache that is refused is renewed once."""
        if call.config.auth_type != "oauth2":
            return _exchange(call, static_credentials(call.config))
        key = token_key(call.ctx, call.config)
        cached = self._tokens.get(key)
        if cached is not None:
            call.redact.add(cached)
            try:
                return _exchange(call, bearer(cached))
            except PermanentError as error:
                if error.info.code != "http_status" or error.info.details.get("status") != 401:
                    raise
                self._tokens.drop(key)
                call.ctx.log("the OAuth token was refused; asking for a new one")
        token, seconds = fetch_token(call.ctx, call.session, call.config, call.limit, call.redact)
        self._tokens.put(key, token, seconds)
        return _exchange(call, bearer(token))


def _exchange(call: _Call, credentials: Credentials) -> _Answer:
    """Send, follow redirects, judge the status, receive the body: one recorded step."""
    config = call.config
    what = f"{config.api_method} {call.redact.url(config.api_endpoint)}"
    started = time.monotonic()
    with call.ctx.step(what, type="http") as step, transport_errors(what, call.limit):
        response, redirects = _follow(call, _prepare(call, credentials))
        try:
            _note(step, call, response, redirects, started, None)
            if not config.expects(response.status_code):
                raise _unexpected(what, response, call)
            body = receive(response, config.max_response_bytes, call.limit, call.ctx)
        finally:
            response.close()
        _note(step, call, response, redirects, started, body)
        return _Answer(response, body, redirects, _milliseconds_since(started))


def _prepare(call: _Call, credentials: Credentials) -> requests.PreparedRequest:
    config = call.config
    url, user, password = _split_userinfo(config.api_endpoint)
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict(config.custom_headers)
    if config.api_method in _CHANGING:
        headers.setdefault("Idempotency-Key", call.ctx.idempotency_key)
    if config.auth_type == "none" and password is not None:
        headers.update(basic(user, password).headers)
    headers.update(credentials.headers)
    body = _encode_payload(config.api_payload, headers)
    pairs = [*_query_pairs(config.query), *credentials.query.items()]
    # UTF-8 as browsers and curl send it; requests would insist on latin-1.
    encoded = {name: value.encode() for name, value in headers.items()}
    request = requests.Request(config.api_method, url, headers=encoded, params=pairs, data=body)
    return call.session.prepare_request(request)


def _encode_payload(payload: JsonValue, headers: CaseInsensitiveDict[str]) -> bytes | None:
    """The body, and its Content-Type in ``headers`` unless the user named one."""
    if payload is None:
        return None
    if isinstance(payload, str):
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return payload.encode()
    form = headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"
    if form and isinstance(payload, dict):
        return urlencode(_query_pairs(payload)).encode()
    headers.setdefault("Content-Type", "application/json")
    return orjson.dumps(payload)


def _query_pairs(query: dict[str, JsonValue]) -> list[tuple[str, str]]:
    """Parameters as text: lists repeat their name, null is left out, objects travel as JSON."""
    pairs = []
    for name, value in query.items():
        items = value if isinstance(value, list) else [value]
        pairs += [
            (name, item if isinstance(item, str) else orjson.dumps(item).decode()) for item in items if item is not None
        ]
    return pairs


def _split_userinfo(url: str) -> tuple[str, str, str | None]:
    """The URL without ``user:password@``, and these two; the password is None when there was none."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, "", None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, unquote(parts.username or ""), unquote(parts.password or "")


def _follow(call: _Call, request: requests.PreparedRequest) -> tuple[requests.Response, list[Redirect]]:
    """Send, and follow redirects one by one: each is counted, recorded, and leaves through the guarded client."""
    session, most = call.session, call.config.max_redirects
    redirects: list[Redirect] = []
    while True:
        call.limit.check()
        response = session.send(request, stream=True, allow_redirects=False, timeout=call.limit.remaining_seconds())
        following = response.next
        if following is None or most == 0:
            return response, redirects
        response.close()
        if len(redirects) == most:
            raise PermanentError("too_many_redirects", f"more than {most} redirects", {"redirects": most})
        redirects.append(Redirect(status=response.status_code, url=call.redact.url(str(following.url))))
        request = following


def _note(
    step: StepRecord,
    call: _Call,
    response: requests.Response,
    redirects: list[Redirect],
    started: float,
    body: Body | None,
) -> None:
    step.result(
        {
            "method": str(response.request.method),
            "url": call.redact.url(response.url),
            "status": response.status_code,
            "duration_ms": _milliseconds_since(started),
            "redirects": len(redirects),
            "size_bytes": body.size_bytes if body else None,
        }
    )


def _unexpected(what: str, response: requests.Response, call: _Call) -> HandlerError:
    status = response.status_code
    details = {
        "status": status,
        "url": call.redact.url(response.url),
        "body": call.redact.text(receive_start(response, call.limit)),
    }
    return status_error("http_status", f"{what} answered {status}", status, response.headers, details)


def _output(ctx: Context, config: ApiCallConfig, answer: _Answer, redact: Redactor) -> ApiCallOutput:
    response, body = answer.response, answer.body
    document = parse_json(body) if _needs_document(config, body) else None
    kind, value = inline_value(body, document)
    stored = _store(ctx, body) if kind == "artifact" else None
    return ApiCallOutput(
        status=response.status_code,
        url=redact.url(response.url),
        headers=_visible_headers(response, redact),
        body=value if kind == "base64" else redact.json(value),
        body_kind=kind,
        size_bytes=body.size_bytes,
        artifact=stored,
        extracted={name: redact.json(item) for name, item in extract_values(document, config.extract).items()},
        redirects=len(answer.redirects),
        redirect_chain=answer.redirects,
        duration_ms=answer.duration_ms,
    )


def _needs_document(config: ApiCallConfig, body: Body) -> bool:
    """Whether the body must be parsed as JSON; large ones only when something is to be extracted."""
    if config.extract and not (body.is_json and body.size_bytes):
        kind = body.media_type or "nothing"
        raise PermanentError("bad_response", f"extract needs a JSON answer, but the body is {kind}")
    return body.is_json and body.size_bytes > 0 and (bool(config.extract) or body.size_bytes <= INLINE_BYTES)


def _store(ctx: Context, body: Body) -> StoredBody:
    body.file.seek(0)
    media_type = body.media_type or "application/octet-stream"
    ref = ctx.artifact(body.file_name(), body.file, media_type)
    return StoredBody(id=ref.id, name=ref.name, content_type=ref.content_type, size_bytes=ref.size_bytes)


def _visible_headers(response: requests.Response, redact: Redactor) -> dict[str, str]:
    """Headers for the result: no cookies, no credentials, no NUL, no endless values."""
    visible = {}
    for name, value in response.headers.items():
        if name.lower() in _HIDDEN_HEADERS:
            continue
        text = redact.url(value) if name.lower() == "location" else redact.text(value)
        visible[name.lower()] = text[:_HEADER_CHARACTERS].replace("\0", "\ufffd")
    return visible


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
