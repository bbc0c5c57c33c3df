"""Figures as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskengine.domain.reporting import Period, ReportQuery
from workers.reporting import wording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0001, "< 1 ms"), (0.0124, "12 ms"), (0.9996, "1.00 s"), (1.254, "1.25 s"), (12.34, "12.3 s"),
        (59.96, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (11_400, "3 h 10 min"), (352_800, "4 d 2 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(0, "0 %"), (1, "100 %"), (0.9999, "> 99.9 %"), (0.0001, "< 0.1 %"), (0.9538, "95.4 %"), (0.5, "50.0 %")],
)
def test_rates_are_never_rounded_up_to_all_or_down_to_nothing(part: float, text: str) -> None:
    assert wording.percent(part) == text


@pytest.mark.parametrize(("part", "text"), [(0.123, "+12.3 %"), (-0.123, "−12.3 %"), (24, "× 25")])
def test_changes(part: float, text: str) -> None:
    assert wording.changed(part) == text


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    assert wording.figure("seconds", None) == "–"
    assert wording.figure("count", 1234567) == "1,234,567"


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC), "1 Nov 2024 – 30 Nov 2024"),
        (datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 11, 2, tzinfo=UTC), "1 Nov 2024"),
        (
            datetime(2024, 11, 1, 8, tzinfo=UTC),
            datetime(2024, 11, 1, 9, 30, tzinfo=UTC),
            "1 Nov 2024, 08:00 – 1 Nov 2024, 09:30",
        ),
    ],
)
def test_periods(start: datetime, end: datetime, text: str) -> None:
    assert wording.period(Period(start, end)) == text


def test_a_file_is_named_after_its_first_and_last_day() -> None:
    period = Period(datetime(2024, 10, 31, 23, tzinfo=UTC), datetime(2024, 11, 30, 23, tzinfo=UTC), "Europe/Berlin")
    assert wording.file_stem(ReportQuery("performance", period, ("day",))) == "performance_2024-11-01_2024-11-30"
