from __future__ import annotations

from pathlib import Path

import pytest
import typer

from taskengine.cli.run import body
from taskengine.cli.values import assignments, parse_object, read_document
from taskengine.domain.documents import parse


def test_a_value_is_json_where_it_is_json_and_text_otherwise() -> None:
    given = ["n=3", "name=Ada", "list=[1, 2]", 'digits="007"', "zip=007", "empty=", "sum=1+1=2"]
    assert assignments(given, "--var") == {
        "n": 3,
        "name": "Ada",
        "list": [1, 2],
        "digits": "007",
        "zip": "007",
        "empty": "",
        "sum": "1+1=2",
    }


def test_an_output_must_be_json() -> None:
    assert assignments(['a={"b": 1}'], "--output", strict=True) == {"a": {"b": 1}}
    with pytest.raises(typer.BadParameter, match="--output a: is no JSON"):
        assignments(["a=text"], "--output", strict=True)


@pytest.mark.parametrize("entry", ["name", "=value", ""])
def test_an_assignment_without_a_name_or_a_sign_is_refused(entry: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        assignments([entry], "--var")


def test_an_object_is_asked_for_by_name() -> None:
    assert parse_object(None, "--data") == {}
    with pytest.raises(typer.BadParameter, match="--data: should be a JSON object"):
        parse_object("[1]", "--data")


@pytest.mark.parametrize(("text", "reason"), [("a: [1", "line"), ("- 1", "should hold an object")])
def test_a_file_that_holds_no_object_is_refused_with_its_name(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(text)
    with pytest.raises(typer.BadParameter, match=reason) as caught:
        read_document(str(file), "FILE")
    assert "w.yaml" in caught.value.message


def test_a_definition_is_wrapped_and_a_run_body_is_laid_over() -> None:
    definition = parse("name: w\nvariables: {a: 1}\nsteps: []")
    assert body(definition, {"a": 2}, {}) == (
        {"definition": definition.data, "variables": {"a": 2}},
        ("definition",),
    )
    registered = parse("workflow: w\nvariables: {a: 1, b: 1}")
    assert body(registered, {"a": 2}, {"c": 3}) == (
        {"workflow": "w", "variables": {"a": 2, "b": 1}, "context": {"c": 3}},
        (),
    )
    assert registered.data["variables"] == {"a": 1, "b": 1}
