"""Structured data that a page carries for machines: JSON-LD, OpenGraph, microdata."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import extruct
from pydantic import JsonValue

from taskengine.domain.cleaning import clean_json
from workers.browser.extract_document import Document

_MOST_HTML = 5_000_000
_MOST_STEPS = 10_000
_NAMES = {"json-ld": "json_ld", "opengraph": "opengraph", "microdata": "microdata"}


def structured_data(document: Document) -> dict[str, JsonValue]:
    """Lists of what each notation says; JSON-LD that is broken is left out."""
    if "structured" not in document.made:
        document.made["structured"] = _read(document)
    held: dict[str, JsonValue] = document.made["structured"]
    return held


def _read(document: Document) -> dict[str, JsonValue]:
    html = document.root.outer_html(document.absolute, hidden=True)
    if len(html) > _MOST_HTML:
        return {name: [] for name in _NAMES.values()}
    found = extruct.extract(html, base_url=document.base, syntaxes=list(_NAMES), errors="ignore")
    clean: dict[str, JsonValue] = {name: clean_json(found.get(syntax, [])) for syntax, name in _NAMES.items()}
    return clean


def json_ld_value(document: Document, path: str) -> JsonValue:
    """The first value at a path such as ``author.name`` in any object of the JSON-LD; None when there is none."""
    for entry in entities(structured_data(document)["json_ld"]):
        value = _at(entry, path.split("."))
        if value is not None:
            return value
    return None


def entities(found: JsonValue) -> Iterator[dict[str, Any]]:
    """All objects of structured data, outer ones first; those of ``@graph`` count as outer ones."""
    waiting: deque[Any] = deque([found])
    steps = 0
    while waiting and steps < _MOST_STEPS:
        steps += 1
        value = waiting.popleft()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _at(value: Any, path: list[str]) -> JsonValue:
    for name in path:
        if isinstance(value, list):
            value = next((item for item in value if isinstance(item, dict) and name in item), None)
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("name") or value.get("@value")
    return value if isinstance(value, str | int | float | bool) else None
