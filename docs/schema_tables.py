"""JSON Schemas of config and output models as tables of fields."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from docs.markdown import code, table

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} items",
}


def config_table(model: type[BaseModel]) -> str:
    """What a task of this type takes, in the camelCase spelling; snake_case works too."""
    return _fields(model.model_json_schema(by_alias=True), with_default=True)


def output_table(model: type[BaseModel]) -> str:
    """What a completed task's ``result`` holds."""
    return _fields(model.model_json_schema(by_alias=False, mode="serialization"), with_default=False)


def _fields(schema: dict[str, Any], *, with_default: bool) -> str:
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    rows = []
    for name, field in schema.get("properties", {}).items():
        cells = [code(name), kind(field, definitions)]
        if with_default:
            cells.append("required" if name in required else code(json.dumps(field.get("default"))))
        rows.append([*cells, field.get("description", "")])
    header = ("field", "type", "default", "meaning") if with_default else ("field", "type", "meaning")
    return table(header, rows)


def kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return _named(schema["$ref"].rpartition("/")[2], definitions)
    if "enum" in schema:
        return " · ".join(code(json.dumps(item)) for item in schema["enum"])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(item, definitions) for item in schema["anyOf"]))
    if "discriminator" in schema:
        chosen_by = schema["discriminator"]
        known = " · ".join(code(name) for name in chosen_by["mapping"])
        return f"object whose {code(chosen_by['propertyName'])} is {known}"
    return _plain(schema, definitions)


def _named(name: str, definitions: dict[str, Any]) -> str:
    """A model is told by its fields; JsonValue is any JSON."""
    fields = definitions.get(name, {}).get("properties")
    if not fields:
        return "any JSON"
    return f"object: {', '.join(code(field) for field in fields)}"


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    match schema.get("type"):
        case "array":
            return f"list of {kind(schema.get('items', {}), definitions)}"
        case "object":
            more = schema.get("additionalProperties")
            return f"object of {kind(more, definitions) if isinstance(more, dict) else 'any JSON'}"
        case "string" if schema.get("format") == "password":
            return "credential"
        case None:
            return "any JSON"
        case name:
            bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
            return f"{name} ({', '.join(bounds)})" if bounds else str(name)
