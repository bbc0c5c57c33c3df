"""Calls a function that runs elsewhere, as a Lambda is invoked: a signed POST of the input, its answer the result.

The request is signed as the Standard Webhooks specification says, so that the other side can tell it is ours and not
an old one; its id is the same for all attempts of a task. An error of the function comes with status 200 and the
header ``X-Amz-Function-Error``, or with any status, as ``{"errorType": …, "errorMessage": …}``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import requests
from pydantic import JsonValue

from taskengine.delivery.signing import check_secret, signed_headers
from taskengine.delivery.time_limit import TimeLimit, time_limit
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context
from workers.integration.http_body import receive
from workers.integration.http_errors import status_error, transport_errors

_LARGEST = 6 * 2**20
"""Bytes of the input and of the answer, as with the functions whose shape this is."""


def invoke(ctx: Context, url: str, secret: str, given: JsonValue, seconds: float) -> JsonValue:
    """The function's answer. Raises PermanentError ``function_failed``, ``bad_function_secret``, ``bad_result``, and
    the errors of ``http_errors``.
    """
    ctx.hide(secret)
    try:
        key = check_secret(secret)
    except ValueError as error:
        raise PermanentError("bad_function_secret", f"functionSecret {error}") from None
    body = orjson.dumps(given)
    if len(body) > _LARGEST:
        raise PermanentError("invalid_request", f"the input has {len(body)} bytes, at most {_LARGEST} may be sent")
    headers = signed_headers(ctx.task_id, body.decode(), [key], datetime.now(UTC)) | {
        "Content-Type": "application/json",
        "Idempotency-Key": ctx.idempotency_key,
        "X-Amz-Invocation-Type": "RequestResponse",
    }
    left = (ctx.deadline - datetime.now(UTC)).total_seconds()
    what = "POST to the function"
    with time_limit(max(min(seconds, left), 0.001)) as limit, transport_errors(what, limit):
        response = ctx.http().post(
            url,
            data=body,
            headers=headers,
            timeout=limit.remaining_seconds(),
            stream=True,
            # A redirect would carry the signed input to somebody it was not signed for.
            allow_redirects=False,
        )
        with response:
            return _answer(ctx, response, limit, what)


def _answer(ctx: Context, response: requests.Response, limit: TimeLimit, what: str) -> JsonValue:
    with receive(response, _LARGEST, limit, ctx).file as file:
        file.seek(0)
        content = file.read()
    document = _document(content)
    if "X-Amz-Function-Error" in response.headers or (not response.ok and _is_error(document)):
        raise _function_error(document, response.status_code)
    if not 200 <= response.status_code < 300:
        details = {"status": response.status_code, "body": content[:2000].decode(errors="replace")}
        text = f"{what} answered {response.status_code}"
        raise status_error("http_status", text, response.status_code, response.headers, details)
    if content and document is None and content.strip() != b"null":
        raise PermanentError("bad_result", "the function answered with something that is no JSON")
    return document  # type: ignore[no-any-return]


def _document(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _is_error(document: Any) -> bool:
    return isinstance(document, dict) and "errorType" in document


def _function_error(document: Any, status: int) -> PermanentError:
    facts = document if isinstance(document, dict) else {}
    kind = str(facts.get("errorType", "an error without a type"))[:200]
    message = str(facts.get("errorMessage", ""))[:2000]
    trace = facts.get("stackTrace")
    details = {"error_type": kind, "error_message": message, "status": status}
    if isinstance(trace, list):
        details["stack_trace"] = [str(line)[:500] for line in trace[:50]]
    return PermanentError("function_failed", f"the function failed: {kind}: {message}", details)
