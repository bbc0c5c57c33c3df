"""Conditions: what they compare, what they refuse, and how large they may be."""

from __future__ import annotations

import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from taskengine.domain.comparisons import Operator, same
from taskengine.domain.conditions import (
    MISSING,
    Condition,
    ConditionFault,
    compare,
    evaluate,
    fields,
    find,
    lookup,
    parse_filter,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 1.5]) | st.sampled_from(["", "a", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("operator", "actual", "expected", "holds"),
    [
        ("equals", 1, 1.0, True),
        ("equals", 1, True, False),
        ("equals", 0, False, False),
        ("equals", "1", 1, False),
        ("equals", None, None, True),
        ("equals", [1, {"a": True}], [1.0, {"a": True}], True),
        ("equals", [1, {"a": True}], [1.0, {"a": 1}], False),
        ("not_equals", {"a": 1}, {"a": 2}, True),
        ("not_equals", {"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ("less_than", 1, 1.5, True),
        ("less_than", 2, 2, False),
        ("less_or_equal", 2, 2, True),
        ("greater_than", "2030-01-02T00:00:00Z", "2030-01-01T00:00:00Z", True),
        ("greater_or_equal", 2**63, 2**63 - 1, True),
        ("greater_or_equal", 1, 2, False),
        ("contains", "passed", "ass", True),
        ("contains", [1, 2], 2.0, True),
        ("contains", [1, 2], True, False),
        ("contains", {"name": 1}, "name", True),
        ("not_contains", ["a"], "b", True),
        ("in", "a", ["a", "b"], True),
        ("in", True, [1], False),
        ("not_in", None, ["a"], True),
        ("exists", None, None, True),
        ("exists", MISSING, None, False),
        ("not_exists", MISSING, None, True),
        ("not_exists", 0, None, False),
        ("matches", "release-2.1", r"\d+\.\d+$", True),
        ("matches", "release", r"^\d", False),
    ],
)
def test_it_compares(operator: Operator, actual: Any, expected: Any, holds: bool) -> None:
    assert compare(operator, actual, expected, "f") is holds


@pytest.mark.parametrize(
    ("operator", "actual", "expected", "words"),
    [
        ("less_than", 1, "2", ["a number", "a text"]),
        ("greater_than", "1", 2, ["a text", "a number"]),
        ("less_than", True, 2, ["a boolean", "a number"]),
        ("less_or_equal", None, 2, ["null", "a number"]),
        ("greater_or_equal", [1], [2], ["a list"]),
        ("contains", 12, 1, ["a number", "list"]),
        ("contains", "12", 1, ["a text", "a number"]),
        ("not_contains", None, "x", ["null", "a text"]),
        ("in", "a", "abc", ["a text", "must be a list", "contains"]),
        ("not_in", "a", {"a": 1}, ["an object", "must be a list"]),
        ("matches", 12, "x", ["a number", "a text"]),
        ("matches", "x", 12, ["a number", "a text"]),
        ("matches", "x", "[", ["regular expression"]),
        ("matches", "x", "(?=y)x", ["look-around"]),
        ("matches", "x" * 10_001, "x", ["10001", "10000"]),
        ("matches", "x", "x" * 501, ["501", "500"]),
        ("equals", MISSING, 1, ["no such value", "exists"]),
        ("not_in", MISSING, [1], ["no such value", "exists"]),
    ],
)
def test_what_does_not_compare_is_a_fault_that_names_the_field_and_both_types(
    operator: Operator, actual: Any, expected: Any, words: list[str]
) -> None:
    with pytest.raises(ConditionFault) as caught:
        compare(operator, actual, expected, "tasks.build.result.size")
    assert caught.value.field == "tasks.build.result.size"
    assert str(caught.value).startswith("tasks.build.result.size: ")
    for word in words:
        assert word in str(caught.value)


@given(JSON, JSON)
def test_an_operator_and_its_opposite_never_agree(left: Any, right: Any) -> None:
    pairs: list[tuple[Operator, Operator]] = [("equals", "not_equals"), ("exists", "not_exists")]
    if isinstance(right, list):
        pairs.append(("in", "not_in"))
    if isinstance(left, list):
        pairs.append(("contains", "not_contains"))
    for operator, opposite in pairs:
        assert compare(operator, left, right, "f") is not compare(opposite, left, right, "f")


@given(JSON, JSON)
def test_same_is_an_equality_and_stricter_than_python(left: Any, right: Any) -> None:
    assert same(left, left)
    assert same(left, right) is same(right, left)
    assert left == right or not same(left, right)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*b?$", r"(a?){60}a{60}", r"(\w|\d|_)*!$", r"(x+x+)+y|a+$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    started = time.perf_counter()
    compare("matches", "a" * 9_999 + "!", pattern, "f")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("data", "reads"),
    [
        ({"field": "a.b", "operator": "equals", "value": None}, {"a.b"}),
        ({"field": "a", "operator": "exists"}, {"a"}),
        ({"all": [{"field": "a", "operator": "exists"}, {"not": {"field": "b", "operator": "exists"}}]}, {"a", "b"}),
        ({"any": [{"field": "a", "operator": "exists"}]}, {"a"}),
        ({"field": "a", "operator": "in", "value": "{{ variables.allowed }}"}, {"a"}),
    ],
)
def test_each_form_is_taken_and_survives_a_round_trip(data: dict[str, Any], reads: set[str]) -> None:
    condition = Condition.model_validate(data)
    assert fields(condition) == reads
    assert Condition.model_validate(condition.model_dump()) == condition
    assert Condition.model_validate(condition.model_dump(by_alias=True, exclude_none=True) | _null(data)) == condition


def _null(data: dict[str, Any]) -> dict[str, Any]:
    return {"value": None} if "value" in data and data["value"] is None else {}


LEAF = {"field": "a", "operator": "exists"}


def _nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = LEAF
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({}, "exactly one"),
        ({"all": [LEAF], "any": [LEAF]}, "exactly one"),
        ({**LEAF, "not": LEAF}, "exactly one"),
        ({"field": "a"}, "both field and operator"),
        ({"operator": "exists"}, "both field and operator"),
        ({"field": "a", "operator": "equals"}, "needs a value"),
        ({"field": "a", "operator": "is", "value": 1}, "not_equals"),
        ({"field": "a", "operator": "exists", "value": 1}, "takes no value"),
        ({"field": "a", "operator": "in", "value": "abc"}, "needs a list"),
        ({"field": "a", "operator": "less_than", "value": True}, "a boolean"),
        ({"field": "a", "operator": "matches", "value": "["}, "regular expression"),
        ({"field": "a", "operator": "matches", "value": 1}, "regular expression"),
        ({"field": "a..b", **{"operator": "exists"}}, "pattern"),
        ({"field": "{{ a }}", "operator": "exists"}, "pattern"),
        ({"field": "a", "operator": "equals", "value": float("nan")}, "NaN"),
        ({"all": []}, "at least 1"),
        ({"all": [LEAF], "colour": 1}, "Extra"),
        ({"all": [3] * 1_000}, "more than 200"),
        ({"all": [LEAF] * 201}, "more than 200"),
        (_nested(21), "deeper than 20"),
        ({"if": "a > 1"}, "Extra"),
        ("a > 1", "dictionary"),
    ],
)
def test_what_is_no_condition_is_refused_with_a_reason(data: Any, word: str) -> None:
    with pytest.raises(ValidationError, match=word) as caught:
        Condition.model_validate(data)
    assert caught.value.error_count() < 5


def test_the_largest_allowed_are_taken() -> None:
    assert Condition.model_validate(_nested(20))
    assert Condition.model_validate({"any": [LEAF] * 200})


def test_parts_are_looked_at_in_order_until_one_decides() -> None:
    looked_at: list[str] = []

    def value_of(path: str) -> Any:
        looked_at.append(path)
        return find({"a": 1}, path)

    guarded = [{"field": "b", "operator": "exists"}, {"field": "b", "operator": "less_than", "value": 3}]
    assert not evaluate(Condition.model_validate({"all": guarded}), value_of)
    assert evaluate(Condition.model_validate({"any": [{"not": guarded[0]}, guarded[1]]}), value_of)
    assert looked_at == ["b", "b"]


def test_templates_in_what_is_compared_with_are_filled_in() -> None:
    condition = Condition.model_validate({"not": {"field": "a", "operator": "less_than", "value": "{{ limit }}"}})
    assert evaluate(condition, lambda path: 5, lambda value: 3 if value == "{{ limit }}" else value)


def test_a_path_leads_through_objects_and_lists() -> None:
    value = {"rows": [{"id": 7}, {"id": None}], "0": "zero"}
    assert find(value, "rows.0.id") == 7
    assert find(value, "rows.1.id") is None
    assert find(value, "0") == "zero"
    for path in ("rows.2.id", "rows.-1", "rows.x", "rows.0.id.x", "nope", "rows.99999999999", "rows.²"):
        assert find(value, path) is MISSING


def test_a_field_is_a_name_or_else_of_the_context_or_else_a_variable() -> None:
    names = {"context": {"a": 1, "run": 2}, "variables": {"a": 3, "b": 4}, "run": {"id": "r"}}
    assert [lookup(names, path) for path in ("context.a", "a", "b", "run.id")] == [1, 1, 4, "r"]
    assert lookup(names, "run.nope") is MISSING
    assert lookup(names, "c") is MISSING
    assert lookup({}, "c") is MISSING


@pytest.mark.parametrize(
    ("rule", "parsed"),
    [
        (">2021", ("greater_than", 2021)),
        (">= 3", ("greater_or_equal", 3)),
        ("<-1.5", ("less_than", -1.5)),
        ("<=2024-01-31", ("less_or_equal", "2024-01-31")),
        ("!=EU", ("not_equals", "EU")),
        ("==x", ("equals", "x")),
        ("=true", ("equals", True)),
        ("EU", ("equals", "EU")),
        (' ="" ', ("equals", "")),
        ('>"2021"', ("greater_than", "2021")),
        ("!=null", ("not_equals", None)),
        ("NaN", ("equals", "NaN")),
        ("[1]", ("equals", "[1]")),
        (2022, ("equals", 2022)),
        ({"operator": "in", "value": ["US", "EU"]}, ("in", ["US", "EU"])),
    ],
)
def test_a_filter_is_read(rule: Any, parsed: tuple[str, Any]) -> None:
    operator, value = parse_filter(rule)
    assert (operator, value) == parsed
    assert type(value) is type(parsed[1])
    assert operator in get_args(Operator)


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        (">", "no value"),
        ("", "no value"),
        (">true", "a boolean"),
        ([">2021"], "a list"),
        ({"operator": "in", "value": 1}, "needs a list"),
        ({"operator": "above", "value": 1}, "operator"),
        ({"value": 1}, "operator"),
        ({"operator": "equals"}, "needs a value"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_reason(rule: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_filter(rule)
