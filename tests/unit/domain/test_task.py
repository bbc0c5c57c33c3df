"""What a task may say of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.task import Page, RetryPolicy, TaskChanges, TaskSpec
from taskengine.domain.wire import check_json, read_timestamp, storable

BASE = {"name": "n", "type": "echo"}


def spec(**values: Any) -> TaskSpec:
    return TaskSpec.model_validate(BASE | values)


@pytest.mark.parametrize(
    ("field", "spelling"),
    [("name", "title"), ("type", "task_type"), ("type", "taskType"), ("config", "execution_config"),
     ("config", "executionConfig"), ("max_retries", "maxRetries"), ("depends_on", "dependsOn")],
)  # fmt: skip
def test_fields_have_other_spellings(field: str, spelling: str) -> None:
    value: Any = {"name": "x", "type": "y", "config": {"a": 1}, "max_retries": 7, "depends_on": ["a"]}[field]
    made = TaskSpec.model_validate({name: item for name, item in BASE.items() if name != field} | {spelling: value})
    assert getattr(made, field) == value


@pytest.mark.parametrize(
    "values",
    [
        {"nope": 1}, {"name": ""}, {"name": "a\0"}, {"name": 5}, {"max_retries": -1}, {"max_retries": "3"},
        {"max_retries": True}, {"priority": "most"}, {"timeout_seconds": 0}, {"timeout_seconds": float("nan")},
        {"key": "a b"}, {"tags": [""]}, {"tags": ["a"] * 51}, {"depends_on": ["a"] * 1001}, {"config": []},
        {"config": {"a": "\ud800"}}, {"config": {"a": 2**64}}, {"config": {"a": float("inf")}}, {"config": {"\0": 1}},
        {"scheduled_for": "2030-01-01"}, {"scheduled_for": "2030-01-01T00:00:00"}, {"scheduled_for": 5},
        {"retry": {"strategy": "never"}}, {"retry": {"delay_seconds": -1}}, {"resource_requirements": {"cpu_cores": 0}},
    ],
)  # fmt: skip
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**values)


def test_very_many_unknown_fields_are_one_fault() -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**{f"x{number}": 1 for number in range(200)})
    assert len(caught.value.errors()) == 1


def test_times_are_read_into_utc() -> None:
    assert read_timestamp("2030-01-31T10:00:00+01:00") == datetime(2030, 1, 31, 9, tzinfo=UTC)
    assert read_timestamp("2030-01-31t09:00:00.5z").microsecond == 500_000
    assert read_timestamp(datetime(2030, 1, 31, tzinfo=UTC)).tzinfo is UTC


@pytest.mark.parametrize("value", ["1969-12-31T23:59:59Z", "9999-06-01T00:00:00Z", datetime(2030, 1, 1), "x", None])
def test_other_times_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="should"):
        read_timestamp(value)


def test_nesting_has_a_limit() -> None:
    value: Any = 1
    for _ in range(64):
        value = [value]
    assert check_json(value) is value
    with pytest.raises(ValueError, match="64 levels"):
        check_json([value])


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="holds a"):
        storable(text)
    assert storable("aü") == "aü"


def test_an_unset_change_differs_from_null() -> None:
    assert TaskChanges.model_validate({"deadline": None}).model_fields_set == {"deadline"}
    assert TaskChanges().model_fields_set == set()


def test_defaults() -> None:
    made = spec()
    assert (made.max_retries, made.priority, made.execution_type) == (3, "normal", "automatic")
    assert made.retry == RetryPolicy()
    assert Page([{"a": 1}]).as_dict() == {"items": [{"a": 1}], "next_cursor": None}
