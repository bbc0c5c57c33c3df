"""What period is meant, and what may be asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from taskengine.domain.errors import Invalid
from taskengine.domain.reporting import Period, change, check, period_of, read_bound, zone_of

NOW = datetime(2024, 12, 5, 12, tzinfo=UTC)


def period(start: Any, end: Any, zone: str = "UTC") -> Period:
    return period_of(None if start is None else read_bound(start), None if end is None else read_bound(end), zone, NOW)


@pytest.mark.parametrize(
    "end",
    ["2024-11-30T23:59:59Z", "2024-11-30T23:59:59.999Z", "2024-11-30", "2024-12-01T00:00:00Z", "2024-11-30T23:59:59"],
)
def test_the_end_of_a_month_may_be_told_in_several_ways(end: str) -> None:
    assert period("2024-11-01T00:00:00Z", end) == Period(
        datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC)
    )


def test_days_are_those_of_the_zone() -> None:
    found = period("2024-11-01", "2024-11-30", "America/New_York")
    assert found.start == datetime(2024, 11, 1, 4, tzinfo=UTC)
    assert found.end == datetime(2024, 12, 1, 5, tzinfo=UTC)  # clocks change in between
    assert (len(found.days()), found.days()[0], found.days()[-1]) == (30, date(2024, 11, 1), date(2024, 11, 30))


def test_a_time_without_zone_is_one_of_the_reports_zone() -> None:
    found = period("2024-11-01T08:00:00", "2024-11-01T09:30:00", "Europe/Berlin")
    assert (found.start, found.hours) == (datetime(2024, 11, 1, 7, tzinfo=UTC), 1.5)


def test_the_last_second_of_a_day_is_told_in_its_own_zone_or_in_the_reports() -> None:
    expected = datetime(2024, 11, 30, 23, tzinfo=UTC)
    assert period("2024-11-01", "2024-11-30T23:59:59+01:00").end == expected
    assert period("2024-11-01", "2024-11-30T22:59:59Z", "Europe/Berlin").end == expected


def test_without_bounds_it_is_the_last_week() -> None:
    assert period(None, None) == Period(NOW - timedelta(days=7), NOW)
    assert period("2024-12-05", None).end == NOW
    assert period(None, "2024-11-30").start == datetime(2024, 11, 24, tzinfo=UTC)


def test_the_period_before_is_as_long_and_ends_where_it_begins() -> None:
    found = period("2024-11-01", "2024-11-30")
    assert (found.before.end, found.before.hours) == (found.start, found.hours)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-11-02", "2024-11-01"),
        ("2024-11-01T10:00:00Z", "2024-11-01T10:00:00Z"),
        ("2024-12-06", None),
        ("2020-01-01", "2024-01-01"),
    ],
)
def test_a_period_that_is_empty_or_too_long_is_refused(start: str, end: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        period(start, end)
    assert caught.value.errors[0].loc == ("end_date",)


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2024-13-01", "2024-11-31", "2024-11-01T25:00:00Z", "1969-01-01", "9999-12-31", "2024-1-1", 5,
     None, "２０２４-11-01", "2024-11-01\n"],
)  # fmt: skip
def test_what_is_no_day_and_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="should"):
        read_bound(value)


@pytest.mark.parametrize("name", ["Nowhere/City", "../../etc/passwd", "/etc/passwd", "", "x" * 500, "Europe/\0"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(name)


def test_messages_are_in_no_queue() -> None:
    check("webhook_activity", ("day", "type"), None)
    check("performance", ("queue",), "browser")
    for groups, queue in ((("queue",), None), (("day",), "browser")):
        with pytest.raises(Invalid):
            check("webhook_activity", groups, queue)  # type: ignore[arg-type]  # a literal in a loop


@pytest.mark.parametrize(
    ("now", "before", "expected"), [(150, 100, 0.5), (50, 100, -0.5), (5, 0, None), (None, 3, None), (3, None, None)]
)
def test_a_change_is_a_part_of_what_was(now: float | None, before: float | None, expected: float | None) -> None:
    assert change(now, before) == expected
