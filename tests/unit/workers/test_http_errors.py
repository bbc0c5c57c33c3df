"""Retry-After and the split into transient and permanent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskengine.delivery.retry_after import MAX_RETRY_AFTER_SECONDS, retry_after_seconds
from taskengine.domain.errors import PermanentError, TransientError
from workers.integration.http_errors import is_transient, status_error

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("99999999999999999999", MAX_RETRY_AFTER_SECONDS),
        ("Thu, 01 Jan 2026 12:01:30 GMT", 90),
        ("Thursday, 01-Jan-26 12:01:30 GMT", 90),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 12:01:30 -0000", 90),
        ("", None),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_which_statuses_are_transient() -> None:
    transient = [status for status in range(300, 600) if is_transient(status)]
    assert transient == [408, 425, 429, *range(500, 600)]


def test_a_transient_status_carries_retry_after_and_a_permanent_one_does_not() -> None:
    soon = status_error("http_status", "m", 429, {"Retry-After": "3"}, {"status": 429})
    assert isinstance(soon, TransientError)
    assert soon.retry_after_seconds == 3
    assert soon.info.details == {"status": 429, "retry_after_seconds": 3}
    never = status_error("http_status", "m", 404, {"Retry-After": "3"}, {"status": 404})
    assert isinstance(never, PermanentError)
