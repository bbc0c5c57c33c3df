from __future__ import annotations

from benchmarks.profiling import Hot, hottest


def test_the_hottest_functions_are_counted_by_themselves_and_with_what_they_call() -> None:
    assert hottest("main;work;read 3\nmain;work 1\nmain;main 4\n") == [
        Hot("main", 1.0, 0.5),
        Hot("read", 0.375, 0.375),
        Hot("work", 0.5, 0.125),
    ]


def test_threads_at_rest_and_native_ones_do_not_count() -> None:
    folded = "main;Condition.wait (threading.py:331) 90\n 10\nmain;work 5\n"
    assert hottest(folded) == [Hot("work", 1.0, 1.0)]


def test_no_samples_give_no_functions() -> None:
    assert hottest("\n") == []
