"""Reports say what the rows say: every figure is computed again in Python, from all rows of a made history.

And with many rows they read an index that holds what they count, not the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from benchmarks.history import History, make
from taskengine.domain.errors import Invalid
from taskengine.domain.reporting import (
    DEFAULT_GROUPS,
    FIGURES,
    Dimension,
    Period,
    Report,
    ReportQuery,
    ReportType,
    change,
)
from taskengine.lifecycle import keys, reports
from taskengine.lifecycle.engine import Engine
from taskengine.store import reports as store
from tests.integration.store.test_plans import BIG, watched

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 60
TASKS = 15_000
# Clocks in Berlin change in it, on the 29th of March.
PERIOD = Period(datetime(2026, 3, 25, 23, tzinfo=UTC), datetime(2026, 4, 8, 22, tzinfo=UTC), "Europe/Berlin")
Row = Mapping[str, Any]


@pytest.fixture(scope="module")
def history(engine_of_module: Engine) -> Iterator[UUID]:
    """The organization whose history it is; another one has a history too."""
    engine = engine_of_module
    own = keys.local_caller(engine).organization_id
    keys.add_organization(engine, "other")
    other = keys.local_caller(engine, "other").organization_id
    with engine.db.begin() as conn:
        make(conn, History(own, TASKS, START, DAYS))
        make(conn, History(other, 3000, START, DAYS, seed=0.1))
        conn.execute(text("UPDATE tasks SET status = 'queued', completed_at = NULL WHERE right(id::text, 2) = '7b'"))
    with engine.db.autocommit() as conn:
        for name in ("tasks", "executions", "deliveries"):
            conn.execute(text(f"VACUUM ANALYZE {name}"))
    yield own


def all_rows(engine: Engine, organization_id: UUID, table: str) -> list[Row]:
    with engine.db.autocommit() as conn:
        rows = conn.execute(
            text(f"SELECT * FROM {table} WHERE organization_id = :id"), {"id": organization_id}
        ).mappings()
        return [dict(row) for row in rows]


@pytest.fixture(scope="module")
def rows(engine_of_module: Engine, history: UUID) -> dict[str, list[Row]]:
    """Everything that the organization has."""
    return {name: all_rows(engine_of_module, history, name) for name in ("tasks", "executions", "deliveries")}


def query(kind: ReportType, **changes: Any) -> ReportQuery:
    return replace(ReportQuery(kind, PERIOD, DEFAULT_GROUPS[kind], top=200), **changes)


def made(engine: Engine, organization_id: UUID, wanted: ReportQuery) -> Report:
    return reports.of_organization(engine, organization_id, wanted)


# What Postgres is held to: the same figures, the long way.


def percentile(values: Sequence[float], part: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * part
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def percentiles(prefix: str, values: Sequence[float]) -> dict[str, float | None]:
    return {f"{prefix}p{point}_seconds": percentile(values, point / 100) for point in (50, 95, 99)}


def seconds(first: datetime, last: datetime) -> float:
    return (last - first).total_seconds()


def rate(good: int, bad: int) -> float | None:
    return good / (good + bad) if good + bad else None


def task_summary(found: Sequence[Row], hours: float) -> dict[str, Any]:
    states = Counter(row["status"] for row in found)
    final = ("completed", "failed", "cancelled", "skipped")
    took = [seconds(row["created_at"], row["completed_at"]) for row in found if row["status"] == "completed"]
    return {
        "total": len(found),
        **{name: states[name] for name in final},
        "open": len(found) - sum(states[name] for name in final),
        "success_rate": rate(states["completed"], states["failed"]),
        "retries": sum(row["error_count"] - (row["status"] == "failed") for row in found),
        **percentiles("", took),
    }


def execution_stats(found: Sequence[Row], hours: float) -> dict[str, Any]:
    states = Counter(row["status"] for row in found)
    bad = ("failed", "timed_out", "lost")
    return {
        "total": len(found),
        **{name: states[name] for name in ("succeeded", *bad, "cancelled")},
        "success_rate": rate(states["succeeded"], sum(states[name] for name in bad)),
        "retries": sum(row["attempt"] > 1 for row in found),
        **percentiles("", [seconds(row["started_at"], row["ended_at"]) for row in found]),
    }


def performance(found: Sequence[Row], hours: float) -> dict[str, Any]:
    states = Counter(row["status"] for row in found)
    took = [seconds(row["started_at"], row["ended_at"]) for row in found]
    return {
        "total": len(found),
        "per_hour": len(found) / hours,
        "busy_seconds": sum(took) if took else None,
        "mean_seconds": sum(took) / len(took) if took else None,
        "max_seconds": max(took, default=None),
        **percentiles("", took),
        **percentiles("wait_", [seconds(row["queued_at"], row["started_at"]) for row in found]),
        "success_rate": rate(states["succeeded"], sum(states[name] for name in ("failed", "timed_out", "lost"))),
    }


def webhook_activity(found: Sequence[Row], hours: float) -> dict[str, Any]:
    states = Counter(row["status"] for row in found)
    took = [seconds(row["created_at"], row["completed_at"]) for row in found if row["status"] == "delivered"]
    return {
        "total": len(found),
        "delivered": states["delivered"],
        "failed": states["failed"],
        "open": states["pending"] + states["sending"],
        "success_rate": rate(states["delivered"], states["failed"]),
        "attempts": sum(row["attempt"] for row in found),
        "retries": sum(row["attempt"] - 1 for row in found),
        **percentiles("", took),
        "received": 0,
    }


Figure = Callable[[Sequence[Row], float], dict[str, Any]]
TRUE: dict[ReportType, tuple[str, str, Figure]] = {
    "task_summary": ("tasks", "created_at", task_summary),
    "execution_stats": ("executions", "ended_at", execution_stats),
    "performance": ("executions", "ended_at", performance),
    "webhook_activity": ("deliveries", "created_at", webhook_activity),
}


def within(rows: dict[str, list[Row]], kind: ReportType, period: Period) -> list[Row]:
    table, moment, _ = TRUE[kind]
    return [row for row in rows[table] if period.start <= row[moment] < period.end]


def same(found: Mapping[str, Any], true: Mapping[str, Any]) -> None:
    assert dict(found) == {name: pytest.approx(value, abs=2e-6) for name, value in true.items()}


@pytest.mark.parametrize("kind", TRUE)
def test_the_figures_of_a_period_are_true(
    engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]], kind: ReportType
) -> None:
    report = made(engine_of_module, history, query(kind))
    figures = TRUE[kind][2]
    assert report.totals["total"]
    assert tuple(report.totals) == FIGURES[kind]
    same(report.totals, figures(within(rows, kind, PERIOD), PERIOD.hours))
    assert report.before is not None
    same(report.before, figures(within(rows, kind, PERIOD.before), PERIOD.hours))


NAMES: dict[Dimension, Callable[[Row, str], str]] = {
    "day": lambda row, moment: row[moment].astimezone(ZoneInfo(PERIOD.zone)).date().isoformat(),
    "type": lambda row, moment: row.get("channel", row["type"]),
    "status": lambda row, moment: str(row["status"]),
    "queue": lambda row, moment: str(row["queue"]),
}


@pytest.mark.parametrize(
    ("kind", "by"), [(kind, by) for kind in TRUE for by in NAMES if (kind, by) != ("webhook_activity", "queue")]
)
def test_the_figures_of_each_group_are_true(
    engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]], kind: ReportType, by: Dimension
) -> None:
    _, moment, figures = TRUE[kind]
    report = made(engine_of_module, history, query(kind, group_by=(by,), compare=False))
    (breakdown,) = report.breakdowns
    groups: dict[str, list[Row]] = {}
    for row in within(rows, kind, PERIOD):
        groups.setdefault(NAMES[by](row, moment), []).append(row)
    assert {group.name for group in breakdown.groups} == set(groups)
    for group in breakdown.groups:
        hours = 23.0 if group.name == "2026-03-29" and by == "day" else 24.0 if by == "day" else PERIOD.hours
        same(group.figures, figures(groups[group.name], hours))
    if by == "day":
        assert [group.name for group in breakdown.groups] == sorted(groups)
    else:
        sizes = [group.figures["total"] or 0 for group in breakdown.groups]
        assert all(first >= second for first, second in pairwise(sizes))


@pytest.mark.parametrize("kind", TRUE)
def test_filters_narrow_it(
    engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]], kind: ReportType
) -> None:
    _, _, figures = TRUE[kind]
    tagged = {row["id"] for row in rows["tasks"] if "nightly" in row["tags"]}
    found = within(rows, kind, PERIOD)
    id_of = "id" if kind == "task_summary" else "task_id"
    wanted = "email" if kind == "webhook_activity" else "script"
    cases: list[tuple[dict[str, str], list[Row]]] = [
        ({"task_type": wanted}, [row for row in found if row.get("channel", row["type"]) == wanted]),
        ({"tag": "nightly"}, [row for row in found if row[id_of] in tagged]),
    ]
    if kind != "webhook_activity":
        cases.append(({"queue": "browser"}, [row for row in found if row["queue"] == "browser"]))
    for narrowed, left in cases:
        report = made(engine_of_module, history, query(kind, group_by=("status",), compare=False, **narrowed))
        assert left
        same(report.totals, figures(left, PERIOD.hours))
        assert sum(group.figures["total"] or 0 for group in report.breakdowns[0].groups) == len(left)


def test_failures_that_differ_in_ids_and_numbers_are_one_kind(
    engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]]
) -> None:
    report = made(engine_of_module, history, query("execution_stats", group_by=("status",), compare=False))
    bad = [row for row in within(rows, "execution_stats", PERIOD) if row["status"] in ("failed", "timed_out", "lost")]
    codes = Counter(row["error"]["code"] for row in bad)
    assert {one.code: one.count for one in report.failures} == dict(codes)
    assert [one.count for one in report.failures] == sorted(codes.values(), reverse=True)
    assert {one.code: one.message for one in report.failures} == {
        "http_status": "https://api.example.com/v<n>/orders/<n> answered <n>",
        "http_timeout": "no complete answer from <n> within <n> s",
        "http_connection": "connection to <text> was reset",
        "not_found": "there is no record <id>",
        "timeout": "the time limit of <n> s passed",
        "worker_lost": "the worker fell silent",
    }
    for one in report.failures:
        last = max((row for row in bad if row["error"]["code"] == one.code), key=lambda row: row["ended_at"])
        assert (one.last_at, one.sample_id) == (last["ended_at"], last["task_id"])


@pytest.mark.parametrize("kind", ["task_summary", "webhook_activity"])
def test_failures_of_tasks_and_messages_are_counted_too(
    engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]], kind: ReportType
) -> None:
    report = made(engine_of_module, history, query(kind, compare=False))
    failed = [row for row in within(rows, kind, PERIOD) if row["status"] == "failed"]
    assert sum(one.count for one in report.failures) == len(failed) > 10
    assert {one.sample_id for one in report.failures} <= {row["id"] for row in failed}


def test_only_the_newest_failures_are_read_and_the_report_says_so(
    engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_FAILURES", 40)
    report = made(engine_of_module, history, query("execution_stats", group_by=("status",)))
    assert sum(one.count for one in report.failures) == 40
    assert report.notes == ("Kinds of failure are those of the newest 40 failures.",)


def test_the_slowest_come_with_their_names(engine_of_module: Engine, history: UUID, rows: dict[str, list[Row]]) -> None:
    names = {row["id"]: row["name"] for row in rows["tasks"]}
    report = made(engine_of_module, history, query("performance", group_by=("type",), top=5))
    slow = sorted(
        within(rows, "performance", PERIOD), key=lambda row: seconds(row["started_at"], row["ended_at"]), reverse=True
    )[:5]
    true: list[Any] = [
        (row["task_id"], names[row["task_id"]], pytest.approx(seconds(row["started_at"], row["ended_at"])))
        for row in slow
    ]
    assert [(one.id, one.name, one.seconds) for one in report.slowest] == true


def test_no_more_groups_are_listed_than_asked_for(engine_of_module: Engine, history: UUID) -> None:
    report = made(engine_of_module, history, query("execution_stats", group_by=("type", "day"), top=3))
    types, days = report.breakdowns
    assert (len(types.groups), types.left_out) == (3, 4)
    assert (len(days.groups), days.left_out) == (14, 0)


def test_the_organization_is_the_callers_own(engine_of_module: Engine, history: UUID) -> None:
    report = made(engine_of_module, history, query("task_summary", group_by=("organization",)))
    assert [(group.name, group.figures) for group in report.breakdowns[0].groups] == [("default", report.totals)]
    other = reports.report(engine_of_module, keys.local_caller(engine_of_module, "other"), query("task_summary"))
    assert 0 < (other.totals["total"] or 0) < (report.totals["total"] or 0) / 2


def test_days_without_anything_are_there_with_zeros(engine_of_module: Engine, history: UUID) -> None:
    late = START + timedelta(days=DAYS)
    period = Period(late - timedelta(days=1), late + timedelta(days=3))
    report = made(engine_of_module, history, query("task_summary", period=period, group_by=("day",)))
    totals = [group.figures["total"] for group in report.breakdowns[0].groups]
    assert totals[0] == report.totals["total"]
    assert totals[1:] == [0, 0, 0]
    last = report.breakdowns[0].groups[-1].figures
    assert (last["success_rate"], last["p50_seconds"]) == (None, None)


@pytest.mark.parametrize("kind", TRUE)
def test_an_empty_period_is_a_report_too(engine_of_module: Engine, history: UUID, kind: ReportType) -> None:
    period = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 3, tzinfo=UTC))
    report = made(engine_of_module, history, query(kind, period=period))
    assert report.empty
    assert (report.failures, report.slowest) == ((), ())
    assert {by.by: len(by.groups) for by in report.breakdowns}["day"] == 2
    assert change(0, report.before["total"] if report.before else None) is None


def test_inbound_webhooks_are_said_to_be_missing(engine_of_module: Engine, history: UUID) -> None:
    report = made(engine_of_module, history, query("webhook_activity"))
    assert report.totals["received"] == 0
    assert "Inbound webhooks are not received by this version" in report.notes[0]


def test_a_report_that_takes_too_long_is_given_up_and_says_what_helps(engine_of_module: Engine, history: UUID) -> None:
    with pytest.raises(Invalid, match="shorter period") as caught:
        reports.of_organization(engine_of_module, history, query("performance"), seconds=0.001)
    assert caught.value.errors[0].type == "report_too_slow"
    assert made(engine_of_module, history, query("performance")).totals["total"]  # the connection is as it was


INDEXES = {
    "task_summary": "tasks_organization_id_id_idx",
    "execution_stats": "executions_ended_idx",
    "performance": "executions_ended_idx",
    "webhook_activity": "deliveries_organization_id_id_idx",
}


@pytest.mark.parametrize("kind", TRUE)
def test_no_table_is_read_as_a_whole(engine_of_module: Engine, history: UUID, kind: ReportType) -> None:
    groups: tuple[Dimension, ...] = ("day", "type", "status")
    with watched(engine_of_module, BIG | {"deliveries"}) as plans:
        report = made(engine_of_module, history, query(kind, group_by=groups))
    assert report.totals["total"]
    assert plans.scanned == []
    assert INDEXES[kind] in plans.used


@pytest.mark.parametrize("kind", TRUE)
def test_the_figures_come_from_the_index_alone(engine_of_module: Engine, history: UUID, kind: ReportType) -> None:
    with engine_of_module.db.begin() as conn:
        store.begin(conn, 20)
        plan = store.plan(conn, query(kind), history, "type")
    (scan,) = [line.strip() for line in plan if " Scan " in line]
    assert f"Index Only Scan using {INDEXES[kind]}" in scan


def test_the_summary_of_the_moment_counts_what_is_open(engine_of_module: Engine, history: UUID) -> None:
    summary = reports.summary(engine_of_module, keys.local_caller(engine_of_module))
    assert summary["open"]["queued"] > 0
    assert summary["open"]["running"] == 0
    assert summary["attempts_last_day"]["total"] == summary["attempts_day_before"]["total"] == 0


def test_the_summary_of_the_moment_reads_no_table_as_a_whole(engine_of_module: Engine, history: UUID) -> None:
    with watched(engine_of_module) as plans:
        reports.summary(engine_of_module, keys.local_caller(engine_of_module))
    assert plans.scanned == []
