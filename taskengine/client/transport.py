"""One HTTP request with everything around it: the key, timeouts, safe retries, typed errors.

A request is tried again after connection errors and after 429, 502, 503 and 504. That is safe for every verb: each
POST carries an idempotency key that stays the same over its tries, the other verbs have the same effect twice.
"""

from __future__ import annotations

import ipaddress
import json
import random
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import requests
from requests.adapters import HTTPAdapter

from taskengine.client.errors import Unreachable, error_for

CONNECT_SECONDS = 5.0
PAGE_SIZE = 500
"""The largest page that the API serves."""
_TRY_LATER = frozenset({429, 502, 503, 504})
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 30.0
"""A ``Retry-After`` beyond this is left to the caller."""


class _Bearer(requests.auth.AuthBase):
    """Sets the header at the last moment: a ``.netrc`` entry for the host would otherwise replace it."""

    def __init__(self, api_key: str) -> None:
        self._header = f"Bearer {api_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class Transport:
    """Keeps connections open between requests. May be shared by threads."""

    def __init__(self, base_url: str, api_key: str | None, *, timeout: float, retries: int, verify: bool | str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url should read http(s)://host[:port], not {base_url!r}")
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._retries = retries
        self._session = requests.Session()
        self._session.verify = verify
        # A proxy from the environment cannot reach this machine's own loopback address.
        self._session.trust_env = not _is_loopback(parts.hostname)
        self._session.headers.update({"Accept": "application/json", "User-Agent": "taskengine-client"})
        if api_key:
            self._session.auth = _Bearer(api_key)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=32, max_retries=0))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        yaml: str | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        wait_seconds: float = 0,
    ) -> Any:
        """Send a request and return the JSON of its answer, None when that is empty.

        ``yaml`` is text to send in place of a JSON ``body``. ``wait_seconds`` is how long the server may hold the
        request back on purpose; it is added to the timeout. Raises ApiError or Unreachable.
        """
        headers = {}
        data = None
        if body is not None:
            data = json.dumps(body, default=_to_json, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        elif yaml is not None:
            data = yaml.encode()
            headers["Content-Type"] = "application/yaml"
        if method == "POST":
            headers["Idempotency-Key"] = idempotency_key or str(uuid4())
        response = self._send(method, path, data, params, headers, wait_seconds=wait_seconds)
        return _json(response) if response.ok and response.content else None

    def pages(self, path: str, params: Mapping[str, Any], limit: int | None) -> Iterator[Any]:
        """Walk through a list, page by page, as it is consumed; ``limit`` ends it early, None takes all."""
        left = limit
        cursor: str | None = None
        while left is None or left > 0:
            size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
            page = self.call("GET", path, params={**params, "limit": size, "cursor": cursor})
            # A server may send more than was asked for.
            items = page["items"] if left is None else page["items"][:left]
            yield from items
            left = None if left is None else left - len(items)
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def text(self, path: str, params: Mapping[str, Any]) -> str:
        """The body of a GET whose answer is text."""
        response = self._send("GET", path, None, params, {"Accept": "*/*"})
        return response.content.decode()

    def stream(self, path: str) -> Iterator[bytes]:
        """The body of a GET in chunks. Not resumed when the connection breaks half way."""
        with self._send("GET", path, None, None, {"Accept": "*/*"}, stream=True) as response:
            try:
                yield from response.iter_content(chunk_size=1 << 16)
            except requests.RequestException as error:
                raise Unreachable(self.base_url + path, _reason(error)) from error

    def probe(self, path: str) -> tuple[int, Any, float | None]:
        """One GET without retries, whatever its status: status, JSON or None, the server's clock in Unix seconds."""
        url = self.base_url + path
        try:
            response = self._session.get(url, timeout=(CONNECT_SECONDS, self._timeout), allow_redirects=False)
        except requests.RequestException as error:
            raise Unreachable(url, _reason(error)) from error
        date = _parse_date(response.headers.get("Date", ""))
        return response.status_code, _problem(response), date.timestamp() if date else None

    def _send(
        self,
        method: str,
        path: str,
        data: bytes | None,
        params: Mapping[str, Any] | None,
        headers: dict[str, str],
        *,
        wait_seconds: float = 0,
        stream: bool = False,
    ) -> requests.Response:
        url = self.base_url + path
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                response = self._session.request(
                    method,
                    url,
                    params=params,
                    data=data,
                    headers=headers,
                    timeout=(CONNECT_SECONDS, self._timeout + wait_seconds),
                    allow_redirects=False,
                    stream=stream,
                )
            except requests.RequestException as error:
                if last or not _lost(error):
                    raise Unreachable(url, _reason(error)) from error
                delay = _backoff(attempt)
            else:
                # The DELETE before this one did it, only its answer was lost.
                done_before = method == "DELETE" and attempt > 0 and response.status_code == 404
                if 200 <= response.status_code < 300 or done_before:
                    return response
                asked = None if last else _retry_delay(response, attempt)
                if asked is None:
                    raise _as_error(response, url)
                response.close()
                delay = asked
            time.sleep(delay)
        raise AssertionError("the last attempt returns or raises")


def _lost(error: requests.RequestException) -> bool:
    """Whether the connection failed, so that another try may fare better.

    Not after a read timeout: the server is at it still, asking again would only add to its load.
    """
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return False
    return isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)


def _retry_delay(response: requests.Response, attempt: int) -> float | None:
    """Seconds until the next try, None when there should be none."""
    if response.status_code not in _TRY_LATER:
        return None
    asked = retry_after(response.headers.get("Retry-After"))
    if asked is None:
        return _backoff(attempt)
    return max(asked, 0.05) if asked <= _LONGEST_DELAY_SECONDS else None


def _backoff(attempt: int) -> float:
    """Doubles from 0.2 s, spread over half its length so that many clients do not come back at once."""
    return float(_FIRST_DELAY_SECONDS * 2**attempt * random.uniform(0.5, 1))


def retry_after(header: str | None) -> float | None:
    """A ``Retry-After`` header, seconds or a date, as seconds from now; None when absent or unreadable."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    date = _parse_date(header)
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date else None


def _parse_date(header: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _as_error(response: requests.Response, url: str) -> Exception:
    if response.is_redirect:
        return Unreachable(url, f"redirects to {response.headers['Location']}; use that as the base URL")
    problem = _problem(response)
    if not isinstance(problem, dict):
        problem = {"detail": f"HTTP {response.status_code} {response.reason} from {url}"}
    return error_for(
        response.status_code, problem, retry_after_seconds=retry_after(response.headers.get("Retry-After"))
    )


def _problem(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise Unreachable(response.url, "the answer is no JSON; is this a taskengine API?") from error


def _reason(error: requests.RequestException) -> str:
    """The innermost cause: requests wraps it in urllib3's pool errors, whose text is unreadable."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    prefix = "the certificate is not trusted: " if isinstance(error, requests.exceptions.SSLError) else ""
    cause: BaseException = error
    while True:
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        if not isinstance(inner, BaseException) or inner is cause:
            return prefix + (str(cause) or type(cause).__name__)
        cause = inner


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _to_json(value: object) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use an aware datetime")
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON: {value!r}")
