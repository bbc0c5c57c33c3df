"""A JSON Schema alone: the names of its properties say what to look for, their types how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from workers.browser.extract_config import ExtractConfig, TableSpec, full_columns
from workers.browser.extract_document import Document
from workers.browser.extract_found import Found, Plan, unclear
from workers.browser.extract_labels import labels_of
from workers.browser.extract_lists import lists_of, path_of
from workers.browser.extract_many import choose_many
from workers.browser.extract_request import Request, Wanted, wanted_words
from workers.browser.extract_tables import choose_table, column_at, tables_of
from workers.browser.extract_text import main_text
from workers.browser.extract_words import best_label

_TEXTS = frozenset(("main_text", "main_content", "content", "text", "body", "article_text"))
_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean"}
_FORMATS = {"uri": "url", "url": "url", "date": "date", "date-time": "date"}


def resolve_schema(document: Document, config: ExtractConfig) -> Plan:
    """The plan for ``config.data_schema``; PermanentError ``instruction_unclear`` when it is not sure."""
    schema = config.data_schema or {}
    found = Found(document, Request(), tables_of(document), lists_of(document), labels_of(document))
    if schema.get("type") == "array":
        return _list(found, _properties(schema.get("items")), "")
    properties = _properties(schema)
    if not properties:
        raise unclear(found, "the schema names no properties, so it does not say what to look for")
    required = schema.get("required")
    return _object(found, properties, required if isinstance(required, list) else list(properties))


def _properties(schema: Any) -> dict[str, Any]:
    held = schema.get("properties") if isinstance(schema, dict) else None
    return (
        {str(name): spec if isinstance(spec, dict) else {} for name, spec in held.items()}
        if isinstance(held, dict)
        else {}
    )


def _object(found: Found, properties: Mapping[str, Any], required: list[Any]) -> Plan:
    fields: Plan = {}
    missing = []
    for name, schema in properties.items():
        spec = _field(found, name, schema)
        if spec is not None:
            fields[name] = spec
        elif name in required:
            missing.append(name)
    if missing or not fields:
        found.request.wanted = [Wanted(name, wanted_words(name)) for name in missing]
        raise unclear(found, f"nothing fits {', '.join(missing) or 'any property of the schema'} well")
    return {"fields": fields}


def _field(found: Found, name: str, schema: Mapping[str, Any]) -> Plan | None:
    """How to find one property: a list of objects in a table or list, a text, a label."""
    if schema.get("type") == "array" and _properties(schema.get("items")):
        plan = _list(found, _properties(schema.get("items")), name)
        records = plan.get("records")
        if isinstance(records, dict):
            return {"selector": records["selector"], "all": True, "fields": records["fields"]}
        return _table_field(found, plan)
    words = wanted_words(name)
    if name in _TEXTS and str(main_text(found.document)["text"]).strip():
        return {"source": "main_text"}
    label = best_label(Wanted(name, words), (), found.labels)
    if label is None and words[-1:] == ("title",) and found.document.title:
        return {"selector": "title"}
    return None if label is None else {**label.spec, **_reading(schema)}


def _table_field(found: Found, plan: Plan) -> Plan | None:
    """The rows of a table as a list of objects: each row that has cells, its cells by their place."""
    spec = TableSpec.model_validate(plan["table"])
    table = choose_table(found.document, spec) if spec.selector is None else None
    if table is None or spec.columns is None:
        return None
    fields: Plan = {}
    for name, column in full_columns(spec.columns).items():
        at = column_at(table, column.heading)
        if at is None:
            return None
        fields[name] = {"selector": f":scope > :nth-child({at + 1})", "type": column.type}
    return {"selector": f"{path_of(table.node)} tr:has(> td)", "all": True, "fields": fields}


def _list(found: Found, properties: Mapping[str, Any], entity: str) -> Plan:
    if not properties:
        raise unclear(found, "the items of the schema name no properties, so it does not say what to look for")
    found.request = Request(
        wanted=[Wanted(name, wanted_words(name)) for name in properties], entity=wanted_words(entity), many=True
    )
    plan = choose_many(found, keys=dict(zip(found.request.wanted, properties, strict=True)))
    if plan is None:
        raise unclear(found, f"no table or list has {', '.join(properties)}")
    return _typed(plan, properties)


def _typed(plan: Plan, properties: Mapping[str, Any]) -> Plan:
    """The plan with each field read as the schema says."""
    records, table = plan.get("records"), plan.get("table")
    if isinstance(records, dict) and isinstance(records["fields"], dict):
        fields: dict[str, JsonValue] = {
            name: {**spec, **_reading(properties[name])} if isinstance(spec, dict) else spec
            for name, spec in records["fields"].items()
        }
        return {"records": {**records, "fields": fields}}
    if isinstance(table, dict) and isinstance(table["columns"], dict):
        columns: dict[str, JsonValue] = {
            name: {"heading": heading, **_reading(properties[name])} for name, heading in table["columns"].items()
        }
        return {"table": {**table, "columns": columns}}
    return plan


def _reading(schema: Mapping[str, Any]) -> Plan:
    types = schema.get("type")
    kinds = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    for kind in kinds:
        if kind in _TYPES:
            return {"type": _TYPES[kind]}
    read_as = _FORMATS.get(str(schema.get("format")))
    return {"type": read_as} if read_as else {}
