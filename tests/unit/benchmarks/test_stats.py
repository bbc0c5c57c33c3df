from __future__ import annotations

import pytest

from benchmarks.stats import ENGINE, FINISHED, P50, Metric, Sample, best, figures, percentile, ratios


def sample(contender: str, value: float, *, mode: str = "m", metric: Metric = FINISHED, scenario: str = "s") -> Sample:
    return Sample(scenario, metric, contender, mode, value)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1)])
def test_percentile_is_the_value_of_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_figure_holds_median_and_extremes_of_all_rounds() -> None:
    (figure,) = figures([sample("x", value) for value in (30, 10, 20)])
    assert (figure.median, figure.low, figure.high, figure.rounds) == (20, 10, 30, 3)


def test_figures_keep_modes_metrics_and_scenarios_apart_in_order_of_appearance() -> None:
    found = figures(
        [
            sample("x", 1, mode="b"),
            sample("x", 2, mode="a"),
            sample("x", 3, mode="b", metric=P50),
            sample("x", 4, mode="b", scenario="t"),
            sample("x", 5, mode="b"),
        ]
    )
    assert [(f.scenario, f.metric.name, f.mode, f.median) for f in found] == [
        ("s", "finished", "b", 3),
        ("s", "finished", "a", 2),
        ("s", "p50", "b", 3),
        ("t", "finished", "b", 4),
    ]


def test_ratios_compare_every_mode_of_the_engine_with_every_other_of_the_same_measure() -> None:
    found = figures(
        [
            sample(ENGINE, 300, mode="batch"),
            sample(ENGINE, 150, mode="each"),
            sample("other", 100, mode="o"),
            sample("other", 5, metric=P50),
        ]
    )
    assert [(r.mode, r.other, r.other_mode, r.value) for r in ratios(found)] == [
        ("batch", "other", "o", 3.0),
        ("each", "other", "o", 1.5),
    ]


def test_ratios_leave_out_what_measured_zero() -> None:
    assert ratios(figures([sample(ENGINE, 1), sample("other", 0)])) == []


def test_the_best_mode_has_the_highest_rate_or_the_lowest_time() -> None:
    found = figures(
        [
            sample(ENGINE, 1, mode="slow"),
            sample(ENGINE, 2, mode="fast"),
            sample(ENGINE, 1, mode="quick", metric=P50),
            sample(ENGINE, 2, mode="late", metric=P50),
            sample("other", 9, mode="none of ours"),
        ]
    )
    rate, time = best(found, "s", FINISHED), best(found, "s", P50)
    assert rate is not None and rate.mode == "fast"
    assert time is not None and time.mode == "quick"


def test_there_is_no_best_mode_where_the_engine_took_no_part() -> None:
    assert best(figures([sample("other", 1)]), "s", FINISHED) is None
