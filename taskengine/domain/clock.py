"""Time enters by this door. Leases and due times use the database's clock, not this one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)
