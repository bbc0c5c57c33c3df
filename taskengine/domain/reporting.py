"""What a report is made of: what is asked, the figures, their groups, failures and slow tasks. Pure shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.wire import read_timestamp

ReportType = Literal["task_summary", "execution_stats", "webhook_activity", "performance"]
Dimension = Literal["day", "type", "status", "queue", "organization"]
Kind = Literal["count", "rate", "seconds", "number"]

REPORTS: tuple[ReportType, ...] = ("task_summary", "execution_stats", "webhook_activity", "performance")
DIMENSIONS: tuple[Dimension, ...] = ("day", "type", "status", "queue", "organization")
LONGEST_DAYS = 400
DEFAULT_DAYS = 7
_LAST_SECOND = time(23, 59, 59)
_YEARS = (1971, 9997)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure: how it is called and written, and whether more of it is good, bad or neither."""

    label: str
    kind: Kind
    good: Literal["more", "less"] | None = None


METRICS: Mapping[str, Metric] = {
    "total": Metric("Total", "count"),
    "completed": Metric("Completed", "count", "more"),
    "succeeded": Metric("Succeeded", "count", "more"),
    "delivered": Metric("Delivered", "count", "more"),
    "received": Metric("Received", "count"),
    "failed": Metric("Failed", "count", "less"),
    "timed_out": Metric("Timed out", "count", "less"),
    "lost": Metric("Lost", "count", "less"),
    "cancelled": Metric("Cancelled", "count"),
    "skipped": Metric("Skipped", "count"),
    "open": Metric("Open", "count"),
    "success_rate": Metric("Success rate", "rate", "more"),
    "retries": Metric("Retries", "count", "less"),
    "attempts": Metric("Attempts", "count"),
    "busy_seconds": Metric("Running time", "seconds"),
    "per_hour": Metric("Per hour", "number", "more"),
    "mean_seconds": Metric("Mean", "seconds", "less"),
    "p50_seconds": Metric("p50", "seconds", "less"),
    "p95_seconds": Metric("p95", "seconds", "less"),
    "p99_seconds": Metric("p99", "seconds", "less"),
    "max_seconds": Metric("Longest", "seconds", "less"),
    "wait_p50_seconds": Metric("Wait p50", "seconds", "less"),
    "wait_p95_seconds": Metric("Wait p95", "seconds", "less"),
    "wait_p99_seconds": Metric("Wait p99", "seconds", "less"),
}
"""Every figure that a report can hold."""

FIGURES: Mapping[ReportType, tuple[str, ...]] = {
    "task_summary": (
        "total", "completed", "failed", "cancelled", "skipped", "open", "success_rate", "retries",
        "p50_seconds", "p95_seconds", "p99_seconds",
    ),
    "execution_stats": (
        "total", "succeeded", "failed", "timed_out", "lost", "cancelled", "success_rate", "retries",
        "p50_seconds", "p95_seconds", "p99_seconds",
    ),
    "webhook_activity": (
        "total", "delivered", "failed", "open", "success_rate", "attempts", "retries",
        "p50_seconds", "p95_seconds", "p99_seconds", "received",
    ),
    "performance": (
        "total", "per_hour", "busy_seconds", "mean_seconds", "p50_seconds", "p95_seconds", "p99_seconds",
        "max_seconds", "wait_p50_seconds", "wait_p95_seconds", "wait_p99_seconds", "success_rate",
    ),
}  # fmt: skip
"""The figures of each report, in the order in which they are shown."""

DEFAULT_GROUPS: Mapping[ReportType, tuple[Dimension, ...]] = {
    "task_summary": ("day", "status", "type"),
    "execution_stats": ("day", "status", "type", "queue"),
    "webhook_activity": ("day", "status", "type"),
    "performance": ("day", "type", "queue"),
}
Figures = Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` up to, not including, ``end`` (aware, UTC); days are those of ``zone``."""

    start: datetime
    end: datetime
    zone: str = "UTC"

    @property
    def before(self) -> Period:
        """The period of the same length that ends where this one starts."""
        return Period(self.start - (self.end - self.start), self.start, self.zone)

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.end - self.start) / timedelta(hours=1)

    def days(self) -> list[date]:
        """Every day that it touches, in its zone."""
        zone = ZoneInfo(self.zone)
        first = self.start.astimezone(zone).date()
        last = (self.end - timedelta(microseconds=1)).astimezone(zone).date()
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What to report: over which period, grouped by what, narrowed to what; at most ``top`` groups, failures, tasks."""

    type: ReportType
    period: Period
    group_by: tuple[Dimension, ...]
    task_type: str | None = None
    queue: str | None = None
    tag: str | None = None
    compare: bool = True
    top: int = 20


@dataclass(frozen=True, slots=True)
class Group:
    """One day, type, status …, and its figures."""

    name: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The same figures by one dimension, largest first (days in order). ``left_out`` groups are not listed."""

    by: Dimension
    groups: tuple[Group, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Failures that are alike: the same code, and messages that differ in ids, numbers and names only."""

    code: str
    message: str
    count: int
    last_at: datetime
    sample_id: UUID
    """A task that failed so last; of deliveries the delivery."""


@dataclass(frozen=True, slots=True)
class Slow:
    """One of the slowest: ``seconds`` is what the report's durations measure."""

    id: UUID
    name: str
    type: str
    queue: str
    status: str
    seconds: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """A report, whole."""

    query: ReportQuery
    made_at: datetime
    totals: Figures
    before: Figures | None
    breakdowns: tuple[Breakdown, ...]
    failures: tuple[Failure, ...]
    slowest: tuple[Slow, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """Whether nothing happened in the period."""
        return not self.totals["total"]


def change(now: float | None, before: float | None) -> float | None:
    """By which part a figure changed: 0.5 is half as much again. None where there is nothing to compare with."""
    if now is None or not before:
        return None
    return (now - before) / before


def as_json(report: Report) -> dict[str, Any]:
    """A report as JSON holds it."""
    query, period = report.query, report.query.period
    return {
        "type": query.type,
        "period": _period(period),
        "previous_period": _period(period.before) if report.before is not None else None,
        "group_by": list(query.group_by),
        "filters": {"type": query.task_type, "queue": query.queue, "tag": query.tag},
        "made_at": _written(report.made_at),
        "totals": dict(report.totals),
        "previous": None if report.before is None else dict(report.before),
        "change": None
        if report.before is None
        else {name: _rounded(change(value, report.before[name])) for name, value in report.totals.items()},
        "groups": {
            item.by: {
                "items": [{"name": group.name, **group.figures} for group in item.groups],
                "left_out": item.left_out,
            }
            for item in report.breakdowns
        },
        "failures": [
            {
                "code": item.code,
                "message": item.message,
                "count": item.count,
                "last_at": _written(item.last_at),
                "sample_id": str(item.sample_id),
            }
            for item in report.failures
        ],
        "slowest": [
            {
                "id": str(item.id),
                "name": item.name,
                "type": item.type,
                "queue": item.queue,
                "status": item.status,
                "seconds": item.seconds,
                "at": _written(item.at),
            }
            for item in report.slowest
        ],
        "notes": list(report.notes),
    }


def _period(period: Period) -> dict[str, str]:
    return {"start": _written(period.start), "end": _written(period.end), "time_zone": period.zone}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


# Reading a period

Bound = datetime | date
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)


def read_bound(value: Any) -> Bound:
    """A day (``2024-11-01``), an RFC 3339 time, or a time without zone, which is one of the report's own zone."""
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            found: Bound = date.fromisoformat(value)
        elif isinstance(value, str) and _LOCAL.fullmatch(value):
            found = datetime.fromisoformat(value.upper())
        elif isinstance(value, date) and not (isinstance(value, datetime) and value.tzinfo):
            found = value
        else:
            checked = read_timestamp(value)
            # With the offset that it was told in: the last second of a day there may mean that day's end.
            return datetime.fromisoformat(value.upper()) if isinstance(value, str) else checked
    except ValueError:
        raise ValueError("should be a day like 2030-01-31 or a time like 2030-01-31T09:00:00Z") from None
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        raise ValueError(f"should lie between the years {_YEARS[0]} and {_YEARS[1]}")
    return found


def zone_of(name: str) -> str:
    """The name of a time zone; ValueError if there is none of that name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name[:100]!r}; name one like Europe/Berlin or UTC") from None
    return name


def period_of(start: Bound | None, end: Bound | None, zone: str, now: datetime) -> Period:
    """The period between two bounds; without them the last week.

    An end that is a day, or a day's last second (23:59:59), means the end of that day. Invalid if it is empty or too
    long.
    """
    last = _moment(end, zone, is_end=True) if end is not None else now
    first = _moment(start, zone, is_end=False) if start is not None else last - timedelta(days=DEFAULT_DAYS)
    if first >= last:
        raise _refused("end_date", "should lie after start_date", "value_error")
    if last - first > timedelta(days=LONGEST_DAYS):
        raise _refused("end_date", f"lies more than {LONGEST_DAYS} days after start_date", "too_long")
    return Period(first, last, zone)


def check(kind: ReportType, group_by: tuple[Dimension, ...], queue: str | None) -> None:
    """Invalid if the report cannot be grouped by, or narrowed to that: messages are in no queue."""
    if kind == "webhook_activity" and "queue" in group_by:
        raise _refused("group_by", "cannot be queue: messages are in no queue", "value_error")
    if kind == "webhook_activity" and queue is not None:
        raise _refused("queue", "cannot be named: messages are in no queue", "value_error")


def _moment(bound: Bound, zone: str, *, is_end: bool) -> datetime:
    where = ZoneInfo(zone)
    if not isinstance(bound, datetime):
        day = bound + timedelta(days=1) if is_end else bound
        return datetime.combine(day, time(), where).astimezone(UTC)
    local = bound.replace(tzinfo=where) if bound.tzinfo is None else bound
    if is_end:
        # Told in its own zone, or in the report's, it is the last second of a day.
        for seen in (local, local.astimezone(where)):
            if seen.time().replace(microsecond=0) == _LAST_SECOND:
                return (seen.replace(microsecond=0) + timedelta(seconds=1)).astimezone(UTC)
    return local.astimezone(UTC)


def _refused(name: str, text: str, kind: str) -> Invalid:
    return Invalid(f"{name} {text}", [FieldError((name,), text, kind)])
