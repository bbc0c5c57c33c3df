"""A single HTTP call as a step of something larger: sent through the guarded client, its answer judged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
import requests
from pydantic import Field, JsonValue, SecretStr

from taskengine.delivery.time_limit import TimeLimit, time_limit
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context, HandlerConfig
from workers.integration.http_errors import status_error, transport_errors

_LARGEST = 1024 * 1024
_EXCERPT = 2000
_MISSING = object()


class HttpCall(HandlerConfig):
    """An HTTP call, and what its answer must be."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = Field("GET", description="HTTP method.")
    url: str = Field(min_length=1, max_length=4000, description="Where to.")
    headers: dict[str, str] = Field({}, description="Headers.")
    bearer_token: SecretStr | None = Field(None, description="Sent as Authorization: Bearer.")
    body: JsonValue = Field(None, description="Sent as JSON; nothing is sent when null.")
    expected_status: list[Annotated[int, Field(ge=100, le=599)]] = Field(
        [], description="Statuses that count as success; empty: 200 to 299."
    )
    expect: dict[str, JsonValue] = Field(
        {}, description='What the JSON answer must hold: value by JSON pointer, as {"/status": "ok"}.'
    )
    timeout_seconds: float = Field(30, gt=0, le=3600, description="Time for the whole answer.")


def send(ctx: Context, call: HttpCall, key: str) -> dict[str, Any]:
    """Send it; its status and body. ``key`` tells the other side the same call when it comes again.

    Raises the errors of ``http_errors``, and PermanentError ``unexpected_answer``.
    """
    what = f"{call.method} {call.url.partition('?')[0]}"
    left = (ctx.deadline - datetime.now(UTC)).total_seconds()
    # After the deadline there is a little time still: what was done may have to be undone.
    seconds = call.timeout_seconds if left <= 0 else min(call.timeout_seconds, left)
    with time_limit(seconds) as limit, transport_errors(what, limit):
        response = ctx.http().request(
            call.method,
            call.url,
            data=None if call.body is None else orjson.dumps(call.body),
            headers=_headers(call, key),
            timeout=limit.remaining_seconds(),
            stream=True,
        )
        with response:
            content = _read(response, limit)
    details = {"status": response.status_code, "body": content[:_EXCERPT].decode(errors="replace")}
    if not _expected(call, response.status_code):
        text = f"{what} answered {response.status_code}"
        raise status_error("http_status", text, response.status_code, response.headers, details)
    document = _document(content)
    for pointer, wanted in call.expect.items():
        found = _at(document, pointer)
        if found != wanted:
            shown = "nothing" if found is _MISSING else orjson.dumps(found).decode()[:200]
            text = f"{what}: {pointer} is {shown}, not {orjson.dumps(wanted).decode()[:200]}"
            raise PermanentError("unexpected_answer", text, details)
    return {"status": response.status_code, "body": details["body"] if document is _MISSING else document}


def _headers(call: HttpCall, key: str) -> dict[str, str]:
    headers = dict(call.headers)
    if call.bearer_token is not None:
        headers["Authorization"] = f"Bearer {call.bearer_token.get_secret_value()}"
    if call.body is not None:
        headers.setdefault("Content-Type", "application/json")
    if call.method not in ("GET", "HEAD"):
        headers.setdefault("Idempotency-Key", key)
    return headers


def _read(response: requests.Response, limit: TimeLimit) -> bytes:
    content = b""
    for chunk in response.iter_content(65536):
        content += chunk
        limit.check()
        if len(content) > _LARGEST:
            raise PermanentError("response_too_large", f"the answer has more than {_LARGEST} bytes")
    return content


def _expected(call: HttpCall, status: int) -> bool:
    return status in call.expected_status if call.expected_status else 200 <= status < 300


def _document(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _MISSING


def _at(document: Any, pointer: str) -> Any:
    """What a JSON pointer points to, or a marker."""
    value = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return _MISSING
    return value
