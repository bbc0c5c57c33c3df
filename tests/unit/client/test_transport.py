from __future__ import annotations

import pytest

from taskengine.client.errors import FieldError, error_for
from taskengine.client.transport import retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
    ],
)
def test_a_retry_after_header_is_read_as_seconds_from_now(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_a_field_error_reads_as_its_path_in_what_was_sent() -> None:
    assert str(FieldError(("body", "tasks", 0, "name"), "is missing", "missing")) == "tasks.0.name: is missing"
    assert str(FieldError(("body",), "is no object", "type")) == "is no object"


def test_an_error_says_each_fault_once() -> None:
    first = {"loc": ["body", "steps", 0, "type"], "msg": "there is no step type 'nap'", "type": "unknown_step_type"}
    second = {"loc": ["body", "name"], "msg": "is required", "type": "missing"}

    one = error_for(422, {"detail": "line 3: steps[0].type: there is no step type 'nap'", "errors": [first]})
    two = error_for(422, {"detail": "two faults", "errors": [first, second]})

    assert str(one) == "line 3: steps[0].type: there is no step type 'nap'"
    assert str(two) == "two faults; steps.0.type: there is no step type 'nap'; name: is required"
