"""Reports over a period, and the figures of the moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from taskengine.domain.errors import FieldError, Invalid, Unavailable
from taskengine.domain.reporting import (
    FIGURES,
    METRICS,
    Breakdown,
    Dimension,
    Failure,
    Figures,
    Group,
    Period,
    Report,
    ReportQuery,
    Slow,
    change,
)
from taskengine.domain.states import FINAL, TaskStatus
from taskengine.domain.task import Caller
from taskengine.lifecycle.engine import Engine
from taskengine.store import organizations
from taskengine.store import reports as store

STATEMENT_SECONDS = 20.0
"""How long one statement of a report may take before it is given up."""
MOST_OPEN = 100_000
"""Open tasks of one status are counted up to here."""
_NO_INBOUND = "Inbound webhooks are not received by this version yet: there are none to count."
_GOOD = ("succeeded", "completed", "delivered")
_BAD = ("failed", "timed_out", "lost")


def report(engine: Engine, caller: Caller, query: ReportQuery) -> Report:
    """A report on the caller's organization. Invalid when it takes too long: the period should be shorter."""
    return of_organization(engine, caller.organization_id, query)


def of_organization(
    engine: Engine, organization_id: UUID, query: ReportQuery, seconds: float = STATEMENT_SECONDS
) -> Report:
    """A report read in one snapshot, no statement of it longer than ``seconds``."""
    try:
        with engine.db.begin() as conn:
            store.begin(conn, seconds)
            return _read(conn, organization_id, query, engine.clock())
    except Unavailable as error:
        raise _too_long(error, seconds) from error


def _too_long(error: Unavailable, seconds: float) -> Invalid | Unavailable:
    """What to tell of a statement that was ended."""
    if not store.took_too_long(error):
        return error
    text = f"a part of the report took longer than {seconds:g} s; ask for a shorter period, or narrow it down"
    return Invalid(text, [FieldError(("start_date",), text, "report_too_slow")])


def _read(conn: Connection, organization_id: UUID, query: ReportQuery, now: datetime) -> Report:
    period = query.period
    totals = _totals(conn, query, organization_id, period)
    failed = store.failures(conn, query, organization_id) if totals["total"] else []
    slow = store.slowest(conn, query, organization_id) if totals["total"] and query.type != "webhook_activity" else []
    return Report(
        query,
        now,
        totals,
        _totals(conn, query, organization_id, period.before) if query.compare else None,
        tuple(_breakdown(conn, query, organization_id, by, totals) for by in query.group_by),
        tuple(Failure(row.code, row.message, row.times, row.last_at, row.sample_id) for row in failed),
        tuple(Slow(row.id, row.name, row.type, row.queue, row.status, row.seconds, row.at) for row in slow),
        tuple(_notes(query, failed)),
    )


def _notes(query: ReportQuery, failed: list[Any]) -> list[str]:
    notes = [_NO_INBOUND] if query.type == "webhook_activity" else []
    if failed and failed[0].read >= store.MOST_FAILURES:
        notes.append(f"Kinds of failure are those of the newest {store.MOST_FAILURES:,} failures.")
    return notes


def _totals(conn: Connection, query: ReportQuery, organization_id: UUID, period: Period) -> Figures:
    return _figures(query, dict(store.totals(conn, query, organization_id, period)._mapping), period.hours)


def _breakdown(
    conn: Connection, query: ReportQuery, organization_id: UUID, by: Dimension, totals: Figures
) -> Breakdown:
    if by == "organization":
        # Callers see no organization but their own.
        name = organizations.name_of(conn, organization_id) or str(organization_id)
        return Breakdown(by, (Group(name, totals),))
    rows = store.groups(conn, query, organization_id, by) if totals["total"] else []
    if by == "day":
        return Breakdown(by, tuple(_days(query, {row.name: dict(row._mapping) for row in rows})))
    hours = query.period.hours
    found = tuple(Group(str(row.name), _figures(query, dict(row._mapping), hours)) for row in rows)
    return Breakdown(by, found, rows[0].names - len(rows) if rows else 0)


def _days(query: ReportQuery, found: Mapping[date, Mapping[str, Any]]) -> list[Group]:
    """Every day of the period, those on which nothing happened too."""
    return [
        Group(day.isoformat(), _figures(query, found.get(day), _hours_of(query.period, day)))
        for day in query.period.days()
    ]


def _hours_of(period: Period, day: date) -> float:
    """How much of a day lies in the period; days on which clocks change have 23 or 25 hours."""
    zone = ZoneInfo(period.zone)
    first = datetime.combine(day, time(), zone).astimezone(UTC)
    last = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    return max((min(last, period.end) - max(first, period.start)) / timedelta(hours=1), 0.0)


def _figures(query: ReportQuery, row: Mapping[str, Any] | None, hours: float) -> Figures:
    """A row of the store as the report's figures; without a row, those of nothing."""
    values = dict(row or {})
    for prefix, name in (("", "percentiles"), ("wait_", "waits")):
        points = values.get(name) or (None, None, None)
        values |= {f"{prefix}p{point}_seconds": value for point, value in zip((50, 95, 99), points, strict=True)}
    good = sum(int(values.get(name, 0)) for name in _GOOD)
    ended = good + sum(int(values.get(name, 0)) for name in _BAD)
    values["success_rate"] = good / ended if ended else None
    values["per_hour"] = int(values.get("total", 0)) / hours if hours else None
    return {name: _number(METRICS[name].kind, values.get(name)) for name in FIGURES[query.type]}


def _number(kind: str, value: Any) -> float | int | None:
    if kind == "count":
        return int(value or 0)
    return None if value is None else round(float(value), 6)


def summary(engine: Engine, caller: Caller) -> dict[str, Any]:
    """How things are: open tasks by status, attempts of the last hour and of the last day, with the day before."""
    now = engine.clock()
    open_statuses = sorted(status.value for status in TaskStatus if status not in FINAL)
    hour = Period(now - timedelta(hours=1), now)
    day = Period(now - timedelta(days=1), now)
    attempts = ReportQuery("execution_stats", day, ())
    organization_id = caller.organization_id
    try:
        with engine.db.begin() as conn:
            store.begin(conn, STATEMENT_SECONDS)
            open_tasks = store.open_tasks(conn, organization_id, open_statuses, MOST_OPEN)
            made = _totals(conn, ReportQuery("task_summary", day, ()), organization_id, day)
            last_hour = _totals(conn, attempts, organization_id, hour)
            last_day = _totals(conn, attempts, organization_id, day)
            before = _totals(conn, attempts, organization_id, day.before)
    except Unavailable as error:
        raise _too_long(error, STATEMENT_SECONDS) from error
    return {
        "made_at": now,
        "open": {name: min(count, MOST_OPEN) for name, count in open_tasks.items()},
        "tasks_last_day": dict(made),
        "attempts_last_hour": dict(last_hour),
        "attempts_last_day": dict(last_day),
        "attempts_day_before": dict(before),
        "change": {name: change(value, before[name]) for name, value in last_day.items()},
    }
