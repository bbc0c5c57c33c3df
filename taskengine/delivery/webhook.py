"""Messages over HTTP: signed webhooks, and Slack-compatible incoming webhooks. Redirects are not followed.

| code | kind | when |
| --- | --- | --- |
| http_status | tried again, but not a 4xx of Slack's | the answer is no 2xx |
| webhook_gone | final | 410: the receiver wants no more of it |
| http_timeout | tried again | no answer in time |
| http_connection | tried again | lookup, connection, TLS or transfer failed |
| egress_refused | final | the target's address is not allowed |
| invalid_request | final | the target is no URL that can be called |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import requests
from urllib3.exceptions import HTTPError, LocationValueError

from taskengine.delivery.retry_after import retry_after_seconds
from taskengine.delivery.signing import signed_headers
from taskengine.delivery.time_limit import time_limit
from taskengine.domain.cleaning import clean_text
from taskengine.domain.errors import HandlerError, PermanentError, TransientError

_KEPT_BYTES = 1000
_LATER = frozenset((408, 425, 429))
_UNSENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    LocationValueError,
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a message was taken: the status that the other side gave, and the beginning of what it said."""

    status: int | None
    answer: str


def send_webhook(
    session: requests.Session,
    url: str,
    delivery_id: UUID,
    payload: Mapping[str, Any],
    secrets: Sequence[str],
    seconds: float,
) -> Receipt:
    """Send a signed webhook; the errors are those of the table above."""
    body = orjson.dumps(payload)
    headers = signed_headers(delivery_id, body.decode(), secrets, datetime.now(UTC))
    response = _post(session, url, body, headers, seconds)
    if response.status == 410:
        raise PermanentError("webhook_gone", "the receiver answered 410: it wants no more of this", _details(response))
    if not response.taken:
        # Whatever the status says: a receiver that is set up anew may be right in an hour.
        raise TransientError(
            "http_status",
            f"the receiver answered {response.status}",
            _details(response),
            retry_after_seconds=response.retry_after,
        )
    return Receipt(response.status, response.text)


def send_slack(session: requests.Session, url: str, payload: Mapping[str, Any], seconds: float) -> Receipt:
    """Send a message to an incoming webhook as Slack and those that are compatible have it."""
    response = _post(session, url, orjson.dumps(payload), {}, seconds)
    if response.taken:
        return Receipt(response.status, response.text)
    text = f"the incoming webhook answered {response.status}"
    if response.status in _LATER or response.status >= 500 or response.status < 400:
        raise TransientError("http_status", text, _details(response), retry_after_seconds=response.retry_after)
    raise PermanentError("http_status", f"{text}: {response.text[:200]}", _details(response))


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    text: str
    retry_after: float | None

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


def _details(response: _Response) -> dict[str, Any]:
    return {"status": response.status, "answer": response.text}


def _post(session: requests.Session, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> _Response:
    sent = {"Content-Type": "application/json", **headers}
    with time_limit(seconds):
        try:
            with session.post(url, data=body, headers=sent, allow_redirects=False, stream=True) as response:
                # The guarded client leaves the body of a redirect unread.
                text = b"" if response.is_redirect else response.raw.read(_KEPT_BYTES, decode_content=True)
                after = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
                return _Response(response.status_code, clean_text(text.decode("utf-8", "replace")), after)
        except HandlerError:
            raise
        except _UNSENDABLE as error:
            raise PermanentError("invalid_request", f"the target cannot be called: {type(error).__name__}") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            # The library's own texts hold whole URLs, so they are neither used nor chained.
            raise TransientError("http_connection", f"the receiver could not be reached: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom, in words without URLs."""
    for _ in range(10):
        inner = [getattr(error, "reason", None), *error.args]
        wrapped = next((item for item in inner if isinstance(item, BaseException)), None)
        if wrapped is None:
            break
        error = wrapped
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
