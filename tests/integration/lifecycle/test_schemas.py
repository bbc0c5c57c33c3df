"""JSON Schemas that clients send: what they may cost, and what their messages may say."""

from __future__ import annotations

import time
from typing import Any

import pytest

from taskengine.domain import schemas
from taskengine.domain.errors import Invalid
from taskengine.domain.task import TaskChanges
from taskengine.lifecycle import edit, secrets
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import last_error


def doubling(steps: int) -> dict[str, Any]:
    """Each definition leads twice to the next."""
    chain = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(steps)}
    return {"$ref": "#/$defs/d0", "$defs": chain | {f"d{steps}": {"type": "object"}}}


def nested(levels: int, keyword: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"allOf": [schema], keyword: {"type": "integer"}}
    return schema


TOO_COMPLEX: list[dict[str, Any]] = [
    doubling(20),
    doubling(60),
    nested(20, "unevaluatedProperties"),
    nested(20, "unevaluatedItems"),
    {"$ref": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
    {"$ref": "#/%24defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}},
    {"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(400)} | {"d400": {}}},
    {"allOf": [{"pattern": f"^a{n}"} for n in range(60)]},
    {"patternProperties": {f"^a{n}": {} for n in range(60)}},
    {"enum": list(range(20_000))},
    {"description": "x" * schemas.MAX_BYTES},
]
WRONG: list[dict[str, Any]] = [
    {"type": "nope"},
    {"$ref": "http://localhost/x"},
    {"$ref": "other.json#/a"},
    {"$ref": "#name", "$defs": {"a": {"$anchor": "name"}}},
    {"$ref": "#/$defs/absent"},
    {"$ref": "#/allOf/7", "allOf": [{}]},
    {"$dynamicRef": "#a"},
    {"$recursiveRef": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$id": "http://localhost/a", "allOf": [{"$ref": "#/$defs/b"}]}}},
    {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "allOf": [{"id": "http://localhost/a", "not": {"$ref": "#/definitions/a"}}],
        "definitions": {"a": {}},
    },
    {"pattern": "(?=a)b"},
    {"pattern": r"(a)\1"},
    {"pattern": "(a{1000}){1000}"},
]


@pytest.mark.parametrize("schema", TOO_COMPLEX)
def test_schemas_that_ask_for_too_much_are_refused_at_once(bench: Bench, schema: dict[str, Any]) -> None:
    started = time.monotonic()
    with pytest.raises(Invalid) as caught:
        bench.submit({"input_schema": schema}, {"output_schema": schema})
    assert time.monotonic() - started < 2
    faults = [(fault.loc, fault.type) for fault in caught.value.errors]
    assert faults == [((0, "input_schema"), "schema_too_complex"), ((1, "output_schema"), "schema_too_complex")]


@pytest.mark.parametrize("schema", WRONG)
def test_wrong_schemas_are_refused(bench: Bench, schema: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"input_schema": schema})
    assert [(fault.loc, fault.type) for fault in caught.value.errors] == [((0, "input_schema"), "invalid_schema")]


@pytest.mark.parametrize(
    "schema",
    [
        doubling(5),
        nested(3, "unevaluatedProperties"),
        {"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"type": "object"}}},
        {"$id": "http://localhost/root", "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"minProperties": 1}}},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "pattern": {"pattern": "^a+$"}}},
        {"properties": {f"p{n}": {"type": ["string", "null"], "maxLength": 9} for n in range(500)}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"message": {"format": "uuid"}}},
    ],
)
def test_ordinary_schemas_are_taken(schema: dict[str, Any]) -> None:
    assert schemas.fault(schema) is None


def test_faults_name_the_place_and_the_rule_but_not_the_value() -> None:
    schema = {
        "properties": {"a": {"pattern": "^x+$"}, "b": {"oneOf": [{"const": 1}]}, "c": {"not": {"type": "string"}}},
        "additionalProperties": False,
    }
    value = {"a": "hidden", "b": "hidden", "c": "hidden", "d": "hidden"}
    faults = schemas.unmet(schema, value, 10)
    assert {fault.loc for fault in faults} == {(), ("a",), ("b",), ("c",)}
    assert "hidden" not in str(faults)
    assert "^x+$" in str(faults)


def test_a_large_value_is_not_checked_against_a_large_schema() -> None:
    schema = {"items": {"allOf": [{"minimum": n} for n in range(1000)]}}
    assert schemas.unmet(schema, [1000] * 1000, 1) == []
    (fault,) = schemas.unmet(schema, [1000] * 100_000, 1)
    assert fault.type == "schema_too_complex"


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|b)*a(a|b){100}$", "(.*)*x", "[ab]*a[ab]{300}[ab]$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    started = time.monotonic()
    schemas.unmet({"type": "string", "pattern": pattern}, "ab" * 400_000, 1)
    assert time.monotonic() - started < 5


def test_a_change_that_does_not_fit_keeps_kept_credentials_hidden(bench: Bench) -> None:
    schema = {"oneOf": [{"required": ["other"]}, {"properties": {"message": {"required": ["b"]}}}]}
    message = {"password": "hidden-credential", "b": 1}
    (task_id,) = bench.submit({"config": {"message": message}, "input_schema": schema})
    changes = TaskChanges.model_validate({"config": {"message": {"password": "***"}}})
    with pytest.raises(Invalid) as caught:
        edit.update(bench.engine, bench.caller, task_id, changes)
    assert [fault.type for fault in caught.value.errors] == ["input_schema"]
    assert "oneOf" in caught.value.detail
    assert "hidden-credential" not in caught.value.detail + str(caught.value.errors)


def test_a_task_that_does_not_fit_keeps_its_credentials_hidden(bench: Bench) -> None:
    schema = {"properties": {"message": {"properties": {"password": {"maxLength": 3}}}}}
    with pytest.raises(Invalid) as caught:
        bench.submit({"config": {"message": {"password": "hidden-credential"}}, "input_schema": schema})
    assert caught.value.errors[0].loc == (0, "config", "message", "password")
    assert "hidden-credential" not in caught.value.detail + str(caught.value.errors)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("{{ 1 + 1 }}", "completed"),
        ("{{ 5 + 5 }}", "failed"),
        ("{{ secrets.TOKEN }}", "failed"),
        ("{{ now }}", "failed"),
    ],
)
def test_a_rendered_config_must_meet_its_input_schema(bench: Bench, text: str, status: str) -> None:
    secrets.put(bench.engine, bench.caller, "TOKEN", "hidden-secret")
    schema = {"properties": {"message": {"type": "integer", "maximum": 9}}}
    (task_id,) = bench.submit({"config": {"message": text}, "input_schema": schema})
    bench.work(task_id)
    assert bench.task(task_id)["status"] == status
    if status == "failed":
        error = last_error(bench, task_id)
        assert (error["code"], error["details"]["errors"][0]["loc"]) == ("invalid_config", ["message"])
        assert "hidden" not in str(error)
