"""Reads Retry-After, the header by which a peer says when to come back."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_SECONDS = 7 * 86400


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Retry-After as seconds from ``now``: a number of seconds or an HTTP date; None when absent or unreadable."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(min(int(text[:12]), MAX_RETRY_AFTER_SECONDS))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), float(MAX_RETRY_AFTER_SECONDS))
