"""Faults name fields as the client spelled them."""

from __future__ import annotations

from typing import Any

import pytest

from api.spelling import spelled_as_sent
from taskengine.domain.errors import FieldError, Invalid

TASK = {"title": "t", "taskType": "x", "executionConfig": {"reminder_time": 1, "title": 2, "recipient": ""}}


@pytest.mark.parametrize(
    ("loc", "shown"),
    [
        (("body", "type"), ("body", "taskType")),
        (("type",), ("body", "taskType")),
        (("body", "config", "reminderTime"), ("body", "executionConfig", "reminder_time")),
        (("body", "config", "apiEndpoint"), ("body", "executionConfig", "apiEndpoint")),
        (("body", "config", "name"), ("body", "executionConfig", "name")),
        (("body", "config", "recipient", "function-after[no_nul(), str]"), ("body", "executionConfig", "recipient")),
        (("query", "type"), ("query", "type")),
    ],
    ids=["an alias", "an alias without a place", "snake case", "not sent", "a title in a config", "a union", "a query"],
)
def test_a_fault_is_found_where_the_client_put_it(loc: tuple[str | int, ...], shown: tuple[str | int, ...]) -> None:
    assert _shown(loc, TASK).errors[0].loc == shown


def test_each_task_of_a_batch_has_its_own_spelling() -> None:
    body: dict[str, Any] = {"tasks": [{"config": {}}, {"execution_config": {}}]}
    assert _shown(("body", "tasks", 0, "config", "x"), body).errors[0].loc == ("body", "tasks", 0, "config", "x")
    assert _shown(("body", "tasks", 1, "config", "x"), body).errors[0].loc[3] == "execution_config"


def test_the_detail_says_the_same_as_the_first_fault() -> None:
    fault = _shown(("body", "config", "apiEndpoint"), TASK, "config.apiEndpoint: Field required, and 1 more")
    assert fault.detail == "executionConfig.apiEndpoint: is required, and 1 more"


def test_a_body_of_any_shape_leaves_the_place_as_it_is() -> None:
    bodies: list[Any] = [None, [], "x", {"config": "text of a document"}]
    for body in bodies:
        assert _shown(("body", "config", "steps", 0, "id"), body).errors[0].loc == ("body", "config", "steps", 0, "id")


def _shown(loc: tuple[str | int, ...], body: Any, detail: str = "does not fit") -> Invalid:
    with pytest.raises(Invalid) as caught, spelled_as_sent(lambda: body):
        raise Invalid(detail, [FieldError(loc, "Field required", "missing")])
    return caught.value
