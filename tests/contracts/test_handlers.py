"""What every registered task type must keep to, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from config.settings import QUEUES
from taskengine.handlers.base import Handler, HandlerConfig
from taskengine.handlers.registry import load

HANDLERS = list(load())
CREDENTIAL_WORDS = {"password", "secret", "token", "key", "passphrase", "credential", "credentials"}


@pytest.fixture(params=HANDLERS, ids=[item.type_name for item in HANDLERS])
def handler(request: pytest.FixtureRequest) -> Handler[Any]:
    item: Handler[Any] = request.param
    return item


def models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model, and those of its fields."""
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            yield current
            for field in current.model_fields.values():
                waiting += [part for part in parts_of(field.annotation) if _is_model(part)]


def parts_of(annotation: Any) -> list[Any]:
    """An annotation and everything inside its brackets."""
    return [annotation, *(part for item in getattr(annotation, "__args__", ()) for part in parts_of(item))]


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def camel(field: FieldInfo) -> str:
    """The spelling that the schema shows."""
    choices = getattr(field.validation_alias, "choices", None)
    return str(choices[0] if choices else field.validation_alias or field.alias)


def snake_spelling(handler: Handler[Any]) -> dict[str, Any]:
    """The example with every top-level field in snake_case."""
    by_camel = {camel(field): name for name, field in handler.Config.model_fields.items()}
    return {by_camel.get(name, name): value for name, value in handler.example.items()}


def test_the_engine_brings_its_types() -> None:
    assert {"echo", "api_call", "celery_task"} <= {item.type_name for item in HANDLERS}


def test_it_says_what_it_is(handler: Handler[Any]) -> None:
    assert handler.type_name.isidentifier()
    assert handler.type_name == handler.type_name.lower()
    assert len(handler.description) > 10
    assert handler.description.endswith(".")
    assert handler.__doc__
    assert handler.timeout_seconds > 0


def test_its_queue_is_one_of_ours(handler: Handler[Any]) -> None:
    assert handler.queue in QUEUES


def test_every_field_is_described(handler: Handler[Any]) -> None:
    for model in (handler.Config, handler.Output):
        for part in models_in(model):
            assert part.__doc__
            assert all(field.description for field in part.model_fields.values()), part


def test_its_models_refuse_unknown_fields(handler: Handler[Any]) -> None:
    assert issubclass(handler.Config, HandlerConfig)
    for model in (*models_in(handler.Config), *models_in(handler.Output)):
        assert model.model_config.get("extra") == "forbid", model
    with pytest.raises(ValidationError) as caught:
        handler.Config.model_validate({**handler.example, "noSuchField": 1})
    assert [item["loc"] for item in caught.value.errors()] == [("noSuchField",)]


def test_its_example_is_json_and_valid(handler: Handler[Any]) -> None:
    assert json.loads(json.dumps(dict(handler.example))) == dict(handler.example)
    handler.Config.model_validate(dict(handler.example))


def test_camel_case_and_snake_case_are_both_taken(handler: Handler[Any]) -> None:
    for name, field in handler.Config.model_fields.items():
        assert "_" not in camel(field), f"{name} has no camelCase spelling"
    example = handler.Config.model_validate(dict(handler.example))
    assert handler.Config.model_validate(snake_spelling(handler)) == example


def test_both_spellings_of_every_field_are_known(handler: Handler[Any]) -> None:
    for name, field in handler.Config.model_fields.items():
        for spelling in {name, camel(field)}:
            try:
                handler.Config.model_validate({spelling: object()})
            except ValidationError as error:
                unknown = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
                assert (spelling,) not in unknown


def test_its_schemas_generate_and_fit_its_example(handler: Handler[Any]) -> None:
    config_schema = handler.Config.model_json_schema(by_alias=True)
    jsonschema_rs.validator_for(config_schema).validate(dict(handler.example))
    assert config_schema["additionalProperties"] is False
    output_schema = handler.Output.model_json_schema(mode="serialization")
    jsonschema_rs.validator_for(output_schema)
    json.dumps([config_schema, output_schema])


def test_what_holds_a_credential_is_a_secret(handler: Handler[Any]) -> None:
    for model in models_in(handler.Config):
        for name, field in model.model_fields.items():
            if name.rpartition("_")[2] in CREDENTIAL_WORDS:
                assert SecretStr in parts_of(field.annotation), f"{name} should be a SecretStr"


def test_its_output_holds_no_credential(handler: Handler[Any]) -> None:
    for model in models_in(handler.Output):
        for field in model.model_fields.values():
            assert SecretStr not in parts_of(field.annotation)


def test_a_config_cannot_be_changed_by_the_handler(handler: Handler[Any]) -> None:
    config = handler.Config.model_validate(dict(handler.example))
    name = next(iter(handler.Config.model_fields))
    with pytest.raises(ValidationError):
        setattr(config, name, None)


def test_whether_it_is_light_is_answered_for_its_example(handler: Handler[Any]) -> None:
    assert handler.light(handler.Config.model_validate(dict(handler.example))) in (True, False)
