"""The delays between attempts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.domain.retry import LONGEST_DELAY_SECONDS, delay_seconds
from taskengine.domain.task import RetryPolicy


def policy(**values: Any) -> RetryPolicy:
    return RetryPolicy.model_validate({"jitter": False} | values)


def delays(of: RetryPolicy, count: int, chance: float = 0.0) -> list[float]:
    return [delay_seconds(of, failures, chance, None) for failures in range(1, count + 1)]


def test_exponential_delays_double_up_to_their_maximum() -> None:
    assert delays(policy(delay_seconds=2, max_delay_seconds=20), 6) == [2, 4, 8, 16, 20, 20]


def test_the_defaults_begin_at_two_seconds_and_end_at_ten_minutes() -> None:
    assert delays(policy(), 2) == [2, 4]
    assert delay_seconds(policy(), 1000, 0, None) == 600


def test_fixed_delays_stay_the_same_beyond_the_exponential_maximum_too() -> None:
    assert delays(policy(strategy="fixed", delay_seconds=3600), 3) == [3600] * 3


def test_listed_delays_are_taken_in_turn_and_the_last_one_repeats() -> None:
    assert delays(policy(strategy="list", delays=[1, 5, 86400]), 5) == [1, 5, 86400, 86400, 86400]


def test_an_empty_list_falls_back_to_the_fixed_delay() -> None:
    assert delays(policy(strategy="list", delay_seconds=7), 2) == [7, 7]


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 5.0), (0.5, 7.5), (1 - 2**-53, 10.0)])
def test_jitter_spreads_a_delay_over_its_upper_half(chance: float, expected: float) -> None:
    spread = RetryPolicy(strategy="fixed", delay_seconds=10, jitter=True)
    assert delay_seconds(spread, 1, chance, None) == pytest.approx(expected)


def test_what_the_other_side_asks_for_wins_over_a_shorter_delay() -> None:
    assert delay_seconds(policy(delay_seconds=2), 1, 0, 30) == 30
    assert delay_seconds(policy(delay_seconds=60), 1, 0, 30) == 60


def test_jitter_never_goes_below_what_the_other_side_asks_for() -> None:
    assert delay_seconds(RetryPolicy(delay_seconds=10, jitter=True), 1, 0.0, 9) == 9


@pytest.mark.parametrize("absurd", [1e300, math.inf])
def test_an_absurd_retry_after_is_bounded(absurd: float) -> None:
    assert delay_seconds(policy(), 1, 0, absurd) == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize("senseless", [math.nan, -5.0, -math.inf, 0.0])
def test_a_senseless_retry_after_is_ignored(senseless: float) -> None:
    assert delay_seconds(policy(delay_seconds=2), 1, 0, senseless) == 2


@given(
    st.sampled_from(["exponential", "fixed", "list"]),
    st.floats(0, 7 * 86400),
    st.lists(st.floats(0, 30 * 86400), max_size=5),
    st.booleans(),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(),
)
def test_every_delay_can_be_added_to_a_time(
    strategy: str,
    delay: float,
    listed: list[float],
    jitter: bool,
    failures: int,
    chance: float,
    after: float | None,
) -> None:
    made = RetryPolicy.model_validate(
        {"strategy": strategy, "delay_seconds": delay, "delays": listed, "jitter": jitter}
    )
    assert 0 <= delay_seconds(made, failures, chance, after) <= LONGEST_DELAY_SECONDS
