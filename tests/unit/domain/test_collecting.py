"""Collecting: the three shapes of an expansion's result, and when it counts as failed."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.domain.collecting import ChildEnd, Collector
from taskengine.domain.expansion import ExpansionConfig, ExpansionFault

START = datetime(2030, 1, 31, 9, tzinfo=UTC)
NO_NUMBERS = {"count": 0, "sum": 0, "min": None, "max": None, "mean": None}


def _config(output_format: str = "separate", **more: Any) -> ExpansionConfig:
    return ExpansionConfig.model_validate(
        {"type": "array", "array_mapping": {"a": "x"}, "output_format": output_format, **more}
    )


def _end(index: int, result: Any = None, status: str = "completed", seconds: float | None = 2) -> ChildEnd:
    error = {"code": "broken", "message": "It broke.", "details": {}} if status == "failed" else None
    started = None if seconds is None else START
    ended = None if seconds is None else START + timedelta(seconds=seconds)
    return ChildEnd(index, f"n{index}", {"n": index}, status, result, error, started, ended)


def _collect(config: ExpansionConfig, ends: list[ChildEnd], names: dict[str, Any] | None = None) -> Any:
    before = copy.deepcopy(ends)
    collector = Collector(config, names)
    for end in ends:
        collector.add(end)
    result = collector.result()
    assert ends == before
    orjson.dumps(result)
    return result


def _merged(strategy: str, *results: Any) -> Any:
    ends = [_end(index, result) for index, result in enumerate(results)]
    return _collect(_config("merge", merge_strategy=strategy), ends)["merged"]


def test_separate_is_a_list_with_an_entry_for_each_child() -> None:
    summer = timezone(timedelta(hours=2))
    late = ChildEnd(3, "late", 3, "completed", 1, None, START.astimezone(summer), START.replace(microsecond=5))
    assert _collect(_config(), [_end(0, {"x": 1}), _end(1, None, "failed", None), late]) == [
        {
            "index": 0,
            "identifier": "n0",
            "item": {"n": 0},
            "status": "completed",
            "result": {"x": 1},
            "error": None,
            "started_at": "2030-01-31T09:00:00Z",
            "completed_at": "2030-01-31T09:00:02Z",
        },
        {
            "index": 1,
            "identifier": "n1",
            "item": {"n": 1},
            "status": "failed",
            "result": None,
            "error": {"code": "broken", "message": "It broke.", "details": {}},
            "started_at": None,
            "completed_at": None,
        },
        {
            "index": 3,
            "identifier": "late",
            "item": 3,
            "status": "completed",
            "result": 1,
            "error": None,
            "started_at": "2030-01-31T09:00:00Z",
            "completed_at": "2030-01-31T09:00:00.000005Z",
        },
    ]


def test_merge_is_a_summary_the_merged_results_and_metrics() -> None:
    ends = [_end(0, {"a": 1}), _end(1, {"a": 9}, "failed", 4), _end(2, {"b": [2]}), _end(3, None, "cancelled", None)]
    assert _collect(_config("merge"), ends) == {
        "summary": {"total": 4, "completed": 2, "failed": 2, "cancelled": 1},
        "merged": {"a": 1, "b": [2]},
        "metrics": {
            "success_rate": 0.5,
            "duration_seconds": {"count": 3, "sum": 8.0, "min": 2.0, "max": 4.0, "mean": pytest.approx(8 / 3)},
        },
    }


def test_skipped_children_have_not_failed() -> None:
    summary = _collect(_config("merge"), [_end(0), _end(1, None, "skipped", None)])["summary"]
    assert summary == {"total": 2, "completed": 1, "failed": 0, "skipped": 1}


@pytest.mark.parametrize(
    ("strategy", "results", "merged"),
    [
        ("deep", [{"a": {"x": 1, "l": [1]}}, {"a": {"y": 2, "l": [2]}}], {"a": {"x": 1, "y": 2, "l": [1, 2]}}),
        ("deep", [{"a": 1, "b": [1]}, {"a": {"x": 1}, "b": 2}], {"a": {"x": 1}, "b": 2}),
        ("deep", [{"a": {"x": {}}}, {"a": {"x": {"y": 1}}}, {"a": {"x": {"y": 2}}}], {"a": {"x": {"y": 2}}}),
        ("shallow", [{"a": {"x": 1}, "b": [1]}, {"a": {"y": 2}, "b": [2]}], {"a": {"y": 2}, "b": [2]}),
        ("concat", [{"a": 1, "b": [1]}, {"a": {"x": 2}, "b": [2, 3]}], {"a": [1, {"x": 2}], "b": [1, 2, 3]}),
        ("deep", [1, "x", [2, 3], None, {"a": 1}], {"values": [1, "x", 2, 3], "a": 1}),
        ("shallow", [{"values": [1]}, 2], {"values": [1, 2]}),
        ("shallow", [{"values": 1}, 2], {"values": [1, 2]}),
        ("concat", [[1], [[2]]], {"values": [1, [2]]}),
    ],
)
def test_results_are_merged_by_strategy(strategy: str, results: list[Any], merged: Any) -> None:
    assert _merged(strategy, *results) == merged


OBJECTS = st.recursive(
    st.integers(-9, 9) | st.lists(st.integers(-9, 9), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), OBJECTS, max_size=3), max_size=4))
def test_a_deep_merge_is_the_merges_of_two_after_each_other(results: list[dict[str, Any]]) -> None:
    step: dict[str, Any] = {}
    for result in results:
        step = _merged("deep", step, result)
    assert _merged("deep", *results) == step


def test_single_is_a_summary_aggregates_and_the_reduced_result() -> None:
    config = _config("single", reduce={"best": "{{ results | map(attribute='score') | max }}", "of": "{{ items }}"})
    ends = [
        _end(0, {"score": 3, "time": {"cpu": 0.5}, "ok": True, "rows": [1]}),
        _end(1, {"score": 100}, "failed"),
        _end(2, {"score": 4, "time": {"cpu": 1.5}, "name": "x"}),
    ]
    assert _collect(config, ends) == {
        "summary": {"total": 3, "completed": 2, "failed": 1},
        "aggregates": {
            "score": {"count": 2, "sum": 7, "min": 3, "max": 4, "mean": 3.5},
            "time.cpu": {"count": 2, "sum": 2.0, "min": 0.5, "max": 1.5, "mean": 1.0},
        },
        "result": {"best": 4, "of": [{"n": 0}, {"n": 2}]},
    }


def test_single_without_a_template_has_no_result_and_takes_bare_numbers() -> None:
    single = _collect(_config("single"), [_end(0, 2), _end(1, 3.0), _end(2, "x")])
    assert single["result"] is None
    assert single["aggregates"] == {"value": {"count": 2, "sum": 5.0, "min": 2, "max": 3.0, "mean": 2.5}}


def test_a_reduce_template_sees_the_names_around_it_and_its_fault_has_a_place() -> None:
    config = _config("single", reduce="{{ aggregates.value.sum * variables.factor }} of {{ summary.total }}")
    assert _collect(config, [_end(0, 2)], {"variables": {"factor": 3}})["result"] == "6 of 1"
    with pytest.raises(ExpansionFault, match="variables") as caught:
        _collect(config, [_end(0, 2)])
    assert (caught.value.code, caught.value.field) == ("template_error", "reduce")


@pytest.mark.parametrize(
    ("output_format", "empty"),
    [
        ("separate", []),
        (
            "merge",
            {
                "summary": {"total": 0, "completed": 0, "failed": 0},
                "merged": {},
                "metrics": {"success_rate": None, "duration_seconds": NO_NUMBERS},
            },
        ),
        ("single", {"summary": {"total": 0, "completed": 0, "failed": 0}, "aggregates": {}, "result": None}),
    ],
)
def test_no_children_give_an_empty_result(output_format: str, empty: Any) -> None:
    assert _collect(_config(output_format), []) == empty


def test_sums_that_json_cannot_hold_are_floats_or_null() -> None:
    sums = _collect(_config("single"), [_end(n, {"i": 2**63, "f": 1e308}) for n in range(3)])["aggregates"]
    assert sums["i"]["sum"] == float(3 * 2**63)
    assert sums["f"]["sum"] is None


def test_children_come_once_and_in_order() -> None:
    collector = Collector(_config())
    collector.add(_end(1))
    with pytest.raises(ValueError, match="child 1 comes after child 1"):
        collector.add(_end(1))


@pytest.mark.parametrize("strategy", ["deep", "shallow", "concat"])
def test_the_work_grows_with_the_results_only(strategy: str) -> None:
    ends = [_end(index, {"rows": [index], "last": {"at": index}}) for index in range(50_000)]
    collector = Collector(_config("merge", merge_strategy=strategy))
    for end in ends:
        collector.add(end)
    merged = collector.result()["merged"]
    assert len(merged["rows"]) == (1 if strategy == "shallow" else 50_000)
