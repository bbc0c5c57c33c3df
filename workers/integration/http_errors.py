"""How an HTTP call can fail: every code, and what it does to the task.

| code | kind | when |
| --- | --- | --- |
| http_status | transient for 408, 425, 429, 5xx, else permanent | the status is not an expected one |
| http_timeout | transient | no complete answer in time |
| http_connection | transient | lookup, connection, TLS or transfer failed |
| egress_refused | permanent | the target's address is not allowed |
| invalid_request | permanent | the request cannot be sent as it is (URL, header, redirect to another scheme) |
| too_many_redirects | permanent | more redirects than `maxRedirects` |
| response_too_large | permanent | the body exceeds `maxResponseBytes` |
| bad_response | permanent | the body is not what its content type says |
| extract_failed | permanent | a JSON pointer of `extract` points to nothing |
| oauth_failed | as http_status | the token endpoint refused, or answered nonsense |
| interrupted | transient | the attempt was told to stop while the body was read |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import requests
import urllib3

from taskengine.delivery.retry_after import retry_after_seconds
from taskengine.delivery.time_limit import TimeLimit, TimeLimitExceeded
from taskengine.domain.errors import HandlerError, PermanentError, TransientError

_UNSENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    urllib3.exceptions.LocationValueError,
)


def is_transient(status: int) -> bool:
    """Whether a request with this answer may succeed later."""
    return status in (408, 425, 429) or status >= 500


def status_error(
    code: str, message: str, status: int, headers: Mapping[str, str], details: dict[str, Any]
) -> HandlerError:
    """The error for an unexpected status; a transient one carries the peer's Retry-After."""
    if not is_transient(status):
        return PermanentError(code, message, details)
    after = retry_after_seconds(headers.get("Retry-After"), datetime.now(UTC))
    if after is not None:
        details = {**details, "retry_after_seconds": after}
    return TransientError(code, message, details, retry_after_seconds=after)


@contextlib.contextmanager
def transport_errors(what: str, limit: TimeLimit) -> Iterator[None]:
    """Turn the HTTP library's errors into ours. ``what`` names the call, free of credentials.

    The library's own texts hold whole URLs, so they are neither used nor chained.
    """
    try:
        yield
    except Exception as error:
        if limit.expired:  # whatever else the ended connection looked like
            raise TimeLimitExceeded(limit.seconds, what) from None
        translated = _translate(error, what)
        if translated is None:
            raise
        raise translated from None


def _translate(error: Exception, what: str) -> HandlerError | None:
    """Our error for one of the library's; None for one that is not of its making."""
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return PermanentError("bad_response", f"{what}: the body does not decode as its encoding says")
    if isinstance(error, requests.Timeout) or _is_timeout(error):
        return TransientError("http_timeout", f"{what}: {_reason(error)}")
    if isinstance(error, _UNSENDABLE) or (
        # requests lets some faults of a URL or header through as they are
        isinstance(error, ValueError) and not isinstance(error, OSError)
    ):
        return PermanentError("invalid_request", f"{what}: {_unsendable(error)}")
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError | OSError):
        return TransientError("http_connection", f"{what}: {_reason(error)}")
    return None


def _unsendable(error: Exception) -> str:
    if isinstance(error, requests.exceptions.InvalidHeader):
        return (
            "a header, or the key or token that goes into one, holds a line break or begins with a space: take it out"
        )
    return f"the URL or a header cannot be sent as it is ({type(error).__name__})"


def _is_timeout(error: BaseException) -> bool:
    # urllib3 derives NewConnectionError (refused, unresolved) from its timeout, for old callers' sake.
    return any(
        isinstance(item, urllib3.exceptions.TimeoutError | TimeoutError)
        and not isinstance(item, urllib3.exceptions.NewConnectionError)
        for item in _causes(error)
    )


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom, in words without URLs."""
    root = _causes(error)[-1]
    if isinstance(root, urllib3.exceptions.NameResolutionError):
        return "the name could not be resolved"
    if isinstance(root, urllib3.exceptions.NewConnectionError):
        return str(root).rpartition(": ")[2]
    if isinstance(root, urllib3.exceptions.ConnectTimeoutError):
        return "the connection timed out"
    if isinstance(root, urllib3.exceptions.ReadTimeoutError):
        return "the answer timed out"
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return type(root).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what it wraps, outermost first: urllib3 and requests keep the cause in ``reason`` or ``args``."""
    chain = [error]
    while len(chain) < 10:
        last = chain[-1]
        inner = [getattr(last, "reason", None), *last.args]
        wrapped = next((item for item in inner if isinstance(item, BaseException)), None)
        if wrapped is None:
            break
        chain.append(wrapped)
    return chain
