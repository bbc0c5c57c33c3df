"""One call of the GoHighLevel (LeadConnector) API v2: credentials, limits, errors.

Facts, and where they are from:

- bearer token, ``Version`` header, paths and bodies: the API's description (github.com/GoHighLevel/highlevel-api-docs)
  and marketplace.gohighlevel.com/docs.
- 100 calls in 10 seconds and 200,000 a day for each app and location, and the ``X-RateLimit-*`` headers:
  marketplace.gohighlevel.com/docs/other/rate-limits. When the day ends is not said there: midnight UTC is ours.
- errors are ``{statusCode, message, error}``; the ``message`` of a 422 is a list (UnprocessableDTO).
- a duplicate is a 400: of a contact with ``meta.contactId``, of an opportunity with the code OPPORTUNITY_NO_DUPLICATE
  and ``meta.existingId``. The description has neither; many public integrations show these answers.

| code | kind | when |
| --- | --- | --- |
| ghl_not_configured | permanent | there is no key or no location |
| ghl_unauthorized | permanent | 401 or 403 |
| ghl_rejected | permanent | another 4xx; ``details.messages`` says why |
| ghl_unavailable | transient | 5xx, or an answer that is none |
| rate_limited | transient | 429 |
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import requests
import urllib3
from pydantic import JsonValue

from taskengine.delivery.retry_after import retry_after_seconds
from taskengine.delivery.time_limit import TimeLimit, time_limit
from taskengine.domain.cleaning import clean_json
from taskengine.domain.errors import PermanentError, RateLimited, TransientError
from taskengine.handlers.base import Context, Rate
from workers.integration.ghl_config import GhlActionConfig, GhlRates
from workers.integration.http_body import receive
from workers.integration.http_errors import is_transient, transport_errors

V_2021_07 = "2021-07-28"
V_2021_04 = "2021-04-15"
"""Version of the conversations' calls."""
BURST_SECONDS = 10
RATES = (Rate(100, BURST_SECONDS + 1), Rate(200_000, 86_400))
"""A second more than theirs: calls take unequal times to get there, and may arrive closer together than they left."""

_ANSWER_BYTES = 8 * 2**20
_PATIENCE_SECONDS = 15.0
"""A worker waits this long for its turn at most; beyond that the task waits without one."""


class NotYet(Exception):
    """The location's limit is used up for a while: the task should wait without a worker."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds, self.reason = seconds, reason


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status below 500 that is neither 401, 403, 408, 425 nor 429."""

    status: int
    document: JsonValue
    rates: GhlRates

    @property
    def ok(self) -> bool:
        """Whether the API did it."""
        return 200 <= self.status < 300

    def part(self, *names: str) -> Any:
        """What is found by going down these names; None if there is nothing."""
        value: Any = self.document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value


class Ghl:
    """The API, as one attempt calls it."""

    def __init__(self, ctx: Context, config: GhlActionConfig, base_url: str, key: str, location_id: str) -> None:
        self._ctx, self._config, self._base_url, self._key = ctx, config, base_url.rstrip("/"), key
        self.location_id = location_id
        self.may_have_acted = False
        """Whether the last call may have changed something on the other side; not if it never left, or was refused."""
        self._limit = f"ghl:{location_id}"

    def call(
        self,
        method: str,
        path: str,
        *,
        version: str,
        scope: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, JsonValue] | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Make a call when the location's limits allow it. ``scope`` is what the token needs for it, ``before`` is done
        right before it leaves.

        Raises NotYet, and the errors of the module's table; TransientError ``http_timeout`` and ``http_connection``
        when the answer was lost.
        """
        self.may_have_acted = False
        self._wait_for_turn()
        before()
        what, started = f"{method} {path}", time.monotonic()
        left = (self._ctx.deadline - datetime.now(UTC)).total_seconds()
        seconds = max(min(self._config.timeout / 1000, left), 0.001)
        with self._ctx.step(what, type="http") as step, time_limit(seconds) as limit, transport_errors(what, limit):
            with self._send(method, path, version, query, body, limit) as response:
                self.may_have_acted = response.status_code < 300 or is_transient(response.status_code)
                rates = read_rates(response.headers)
                noted = {"method": method, "path": path, "status": response.status_code, "version": version}
                step.result(noted | {"rates": rates.model_dump()})
                self._heed(response, rates)
                document = _document(response, limit, self._ctx)
            step.result(
                noted | {"rates": rates.model_dump(), "duration_ms": round((time.monotonic() - started) * 1000)}
            )
            self._judge(what, response, document, scope)
        return Answer(response.status_code, document, rates)

    def _wait_for_turn(self) -> None:
        while (seconds := self._ctx.take(self._limit, *RATES)) > 0:
            left = (self._ctx.deadline - datetime.now(UTC)).total_seconds()
            if seconds > min(_PATIENCE_SECONDS, left / 2):
                raise NotYet(seconds, f"the limit of GoHighLevel location {self.location_id} is used up")
            self._ctx.log(f"waiting {seconds:.1f} s for the limit of location {self.location_id}")
            if self._ctx.wait(seconds):
                raise TransientError("interrupted", "told to stop while it waited for its turn")

    def _send(
        self,
        method: str,
        path: str,
        version: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, JsonValue] | None,
        limit: TimeLimit,
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._key}", "Version": version, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        encoded = {name: value.encode() for name, value in headers.items()}
        data = None if body is None else orjson.dumps(body)
        session, url = self._ctx.http(), self._base_url + path
        request = session.prepare_request(requests.Request(method, url, headers=encoded, params=query, data=data))
        self.may_have_acted = True
        try:
            return session.send(request, stream=True, allow_redirects=False, timeout=limit.remaining_seconds())
        except Exception as error:
            self.may_have_acted = not _never_left(error)
            raise

    def _heed(self, response: requests.Response, rates: GhlRates) -> None:
        """Where nothing is left, let all workers wait; 429 ends the call."""
        interval = _number(response.headers, "X-RateLimit-Interval-Milliseconds")
        pause = float(BURST_SECONDS) if interval is None else interval / 1000
        if rates.daily_remaining == 0:
            pause = max(pause, _until_midnight())
        if response.status_code == 429:
            asked = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
            pause = pause if asked is None else asked
        elif rates.remaining != 0 and rates.daily_remaining != 0:
            return
        self._ctx.block(self._limit, pause)
        if response.status_code == 429:
            self.may_have_acted = False
            raise RateLimited(
                pause,
                f"GoHighLevel asks to wait {pause:g} s before the next call for location {self.location_id}",
                {"status": 429, "retry_after_seconds": pause, **rates.model_dump()},
            )

    def _judge(self, what: str, response: requests.Response, document: JsonValue, scope: str) -> None:
        status = response.status_code
        details: dict[str, Any] = {"status": status, "messages": messages_of(document)}
        said = "; ".join(messages_of(document)) or response.reason or "no reason given"
        if status in (401, 403):
            raise PermanentError(
                "ghl_unauthorized",
                f"GoHighLevel refused the key for location {self.location_id} ({status}: {said}). Check that "
                f"GHL_API_KEY is a current token of that sub-account, has the scope {scope}, and GHL_LOCATION_ID is "
                f"its id",
                details | {"scope": scope, "location_id": self.location_id},
            )
        if is_transient(status):
            after = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
            text = f"{what} answered {status}: {said}"
            raise TransientError("ghl_unavailable", text, details, retry_after_seconds=after)
        if 200 <= status < 300 and not isinstance(document, dict):
            raise TransientError("ghl_unavailable", f"{what} answered {status} without a JSON object", details)


def rejected(what: str, answer: Answer, existing_id: JsonValue = None) -> PermanentError:
    """The error for an answer that is a refusal; ``existing_id`` of what there is already, where that is the reason."""
    messages = messages_of(answer.document)
    said = "; ".join(messages) or "no reason given"
    return PermanentError(
        "ghl_rejected",
        f"GoHighLevel refused {what} ({answer.status}): {said}",
        {"status": answer.status, "messages": messages} | ({"existing_id": existing_id} if existing_id else {}),
    )


def messages_of(document: JsonValue) -> list[str]:
    """What an error answer says: its ``message`` is one text, or a list of them for 422."""
    said = document.get("message") if isinstance(document, dict) else None
    items = said if isinstance(said, list) else [said]
    return [str(item)[:500] for item in items if item][:50]


def read_rates(headers: Mapping[str, str]) -> GhlRates:
    """What the answer's headers say of the limits."""
    return GhlRates(
        remaining=_number(headers, "X-RateLimit-Remaining"),
        daily_remaining=_number(headers, "X-RateLimit-Daily-Remaining"),
    )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text[:12]) if text.isascii() and text.isdecimal() else None


def _until_midnight() -> float:
    now = datetime.now(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (tomorrow - now).total_seconds()


def _document(response: requests.Response, limit: TimeLimit, ctx: Context) -> JsonValue:
    """The body as JSON that can be stored; None when it is none."""
    body = receive(response, _ANSWER_BYTES, limit, ctx)
    with body.file:
        try:
            document: JsonValue = clean_json(orjson.loads(body.content()))
        except orjson.JSONDecodeError:
            return None
    return document


def _never_left(error: BaseException) -> bool:
    """Whether the request cannot have reached the other side: refused by the rules, unresolved, not connected."""
    if isinstance(error, PermanentError | requests.exceptions.SSLError | requests.exceptions.ConnectTimeout):
        return True
    wrapped = error.args[0] if error.args else None
    reason = getattr(wrapped, "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
