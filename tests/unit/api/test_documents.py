"""Bodies in YAML: read like JSON, with the line of each fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.documents import definition_of, lines_of, parse_yaml
from api.errors import Malformed
from api.schemas.runs import RunBody
from taskengine.domain.documents import parse
from taskengine.domain.errors import EngineError, FieldError, Invalid

STEPS = "name: w\nsteps:\n  - id: a\n    type: task\n"


def refused(do: Callable[[], Any]) -> FieldError:
    with pytest.raises(EngineError) as caught:
        do()
    assert isinstance(caught.value, Invalid | Malformed)
    [error] = caught.value.errors
    return error


def test_yaml_that_cannot_be_read_is_malformed_at_its_line() -> None:
    error = refused(lambda: parse_yaml(b"name: a\nsteps: [\n"))

    assert (error.loc, error.type) == (("body",), "yaml_invalid")
    assert error.line is not None and error.line >= 2


def test_bytes_that_are_no_text_are_malformed() -> None:
    assert refused(lambda: parse_yaml(b"\xff\xfe")).type == "utf8_invalid"


@pytest.mark.parametrize("loc", [("body", "steps", 0, "type"), ("steps", 0, "type")])
def test_a_fault_of_the_body_gets_its_line(loc: tuple[str | int, ...]) -> None:
    def fail() -> None:
        with lines_of(parse(STEPS)):
            raise Invalid("no", [FieldError(loc, "is odd", "odd")])

    error = refused(fail)
    assert (error.loc, error.line, error.column) == (loc, 4, 11)


@pytest.mark.parametrize(
    "fault", [FieldError(("query", "wait"), "is odd", "odd"), FieldError(("body", "steps"), "is odd", "odd", 77, 1)]
)
def test_a_fault_elsewhere_or_with_a_line_of_its_own_is_left_alone(fault: FieldError) -> None:
    def fail() -> None:
        with lines_of(parse(STEPS)):
            raise Invalid("no", [fault])

    assert refused(fail) == fault


def test_without_a_document_nothing_changes() -> None:
    def fail() -> None:
        with lines_of(None):
            raise Invalid("no", [FieldError(("steps",), "is odd", "odd")])

    assert refused(fail).line is None


def test_a_definition_sent_as_text_is_read_and_keeps_what_came_with_it() -> None:
    body = RunBody.model_validate({"definition": STEPS, "variables": {"a": 1}, "name": "first"})

    spec, document = definition_of(body)

    assert (spec.name, spec.variables) == ("first", {"a": 1})
    assert spec.definition == {"name": "w", "steps": [{"id": "a", "type": "task"}]}
    assert document is not None and document.place(("steps", 0, "id")) == (3, 9)


def test_a_definition_sent_as_an_object_is_taken_as_it_is() -> None:
    body = RunBody.model_validate({"definition": {"name": "w"}})

    assert definition_of(body) == (body, None)


@pytest.mark.parametrize(("text", "type_name"), [("a: ]", "yaml_invalid"), ("- 1", "dict_type"), ("", "yaml_invalid")])
def test_a_text_that_is_no_definition_is_refused_at_its_field(text: str, type_name: str) -> None:
    body = RunBody.model_validate({"definition": text})

    error = refused(lambda: definition_of(body))

    assert (error.loc, error.type) == (("body", "definition"), type_name)
    assert error.line == 1
