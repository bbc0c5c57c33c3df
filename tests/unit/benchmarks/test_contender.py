from __future__ import annotations

import pytest

from benchmarks.contender import BenchmarkError, Finish, check_results, payload, until


def test_a_rate_leaves_out_what_ended_first() -> None:
    assert Finish(first=10.0, last=12.0, at_first=200).rate(1000) == 400.0


def test_a_rate_is_zero_when_everything_ended_at_once() -> None:
    assert Finish(first=10.0, last=10.0, at_first=5).rate(5) == 0.0


def test_results_pass_when_each_number_is_there_once() -> None:
    check_results("x", [payload(2), payload(0), payload(1)], 3)


@pytest.mark.parametrize(
    "found",
    [
        [payload(0), payload(1)],
        [payload(0), payload(1), payload(1)],
        [payload(0), payload(1), payload(2), payload(2)],
        [payload(0), payload(1), payload(3)],
        [payload(0), payload(1), None],
        [payload(0), payload(1), {}],
    ],
    ids=["one lost", "one twice", "one too many", "a strange one", "no result", "an empty result"],
)
def test_results_are_refused(found: list[object]) -> None:
    with pytest.raises(BenchmarkError, match="x:"):
        check_results("x", found, 3)


def test_waiting_ends_with_an_error_that_says_for_what() -> None:
    with pytest.raises(BenchmarkError, match="until it rains"):
        until(lambda: False, "it rains", seconds=0)
