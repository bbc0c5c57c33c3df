"""How figures, times and periods are written for people."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from taskengine.domain.reporting import Period, ReportQuery

NOTHING = "–"
UNCHANGED = 0.0005
"""A change of a smaller part than this shows as none."""
TITLES = {
    "task_summary": "Task summary",
    "execution_stats": "Execution statistics",
    "webhook_activity": "Webhook activity",
    "performance": "Performance",
}
MEANINGS = {
    "task_summary": "Tasks that were created in the period, as they stand now. Durations are from creation to "
    "completion.",
    "execution_stats": "Attempts that ended in the period. Durations are from start to end of an attempt; retries are "
    "attempts after a task's first.",
    "webhook_activity": "Messages that were to go out in the period, as they stand now. Durations are from creation to "
    "delivery.",
    "performance": "Attempts that ended in the period: how long they ran, and how long they were queued before.",
}
GROUPED = {
    "day": "By day",
    "type": "By type",
    "status": "By status",
    "queue": "By queue",
    "organization": "By organization",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def figure(kind: str, value: float | int | None) -> str:
    """A figure in its unit; a dash where there is none."""
    if value is None:
        return NOTHING
    match kind:
        case "count":
            return f"{value:,.0f}"
        case "rate":
            return percent(value)
        case "seconds":
            return duration(value)
        case "amount":
            # As it was given: with cents, or with all its digits.
            return f"{value:,.2f}" if round(value, 2) == value else f"{value:,}"
    return f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def percent(value: float) -> str:
    """A part as percents; never rounded up to all, or down to nothing."""
    shown = value * 100
    if 99.9 < shown < 100:
        return "> 99.9 %"
    if 0 < shown < 0.1:
        return "< 0.1 %"
    return f"{shown:.0f} %" if shown in (0, 100) else f"{shown:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as people say them: 12 ms, 1.25 s, 2 min 5 s, 3 h 10 min, 4 d 2 h."""
    if seconds < 0.9995:
        return "0 s" if seconds == 0 else "< 1 ms" if seconds < 0.0005 else f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, below, smaller in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit:,} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def changed(part: float) -> str:
    """By how much a figure changed: +12.3 %."""
    if part >= 10:
        return f"× {part + 1:,.0f}"
    return f"{part * 100:+.1f} %".replace("-", "−")


def day(value: date) -> str:
    """A day: 1 Nov 2024."""
    return f"{value.day} {value:%b} {value.year}"


def short_day(value: str) -> str:
    """A day of a chart, given as in a group's name: 1 Nov."""
    found = date.fromisoformat(value)
    return f"{found.day} {found:%b}"


def moment(value: datetime, zone: str) -> str:
    """A time in a zone, to the minute."""
    local = value.astimezone(ZoneInfo(zone))
    return f"{day(local.date())}, {local:%H:%M}"


def period(value: Period) -> str:
    """A period: its days where it is whole days, else its times."""
    zone = ZoneInfo(value.zone)
    first, last = value.start.astimezone(zone), value.end.astimezone(zone)
    if _midnight(first) and _midnight(last):
        until = last.date() - timedelta(days=1)
        return day(first.date()) if until == first.date() else f"{day(first.date())} – {day(until)}"
    return f"{moment(value.start, value.zone)} – {moment(value.end, value.zone)}"


def _midnight(value: datetime) -> bool:
    return (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)


def narrowed(query: ReportQuery) -> str:
    """What the report is narrowed to; empty if to nothing."""
    given = (("type", query.task_type), ("queue", query.queue), ("tag", query.tag))
    return ", ".join(f"{name} {value}" for name, value in given if value is not None)


def file_stem(query: ReportQuery) -> str:
    """The name of a report's files, without its ending."""
    zone = ZoneInfo(query.period.zone)
    first = query.period.start.astimezone(zone).date()
    last = (query.period.end.astimezone(UTC) - timedelta(microseconds=1)).astimezone(zone).date()
    return f"{query.type}_{first}_{last}"
