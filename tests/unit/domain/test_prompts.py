"""What plain rules read from a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.prompts import address_in, schema_in


@pytest.mark.parametrize(
    ("prompt", "address"),
    [
        ("Go to https://shop.example.com/lamps?page=2.", "https://shop.example.com/lamps?page=2"),
        ("Open shop.example.com and look", "https://shop.example.com"),
        ("Open (http://localhost:8000/x)", "http://localhost:8000/x"),
        ("Write to jane@example.org", None),
        ("Buy milk. Then eggs.", None),
        ("Write to jane@example.org on forum.example.org/new", "https://forum.example.org/new"),
    ],
)
def test_the_address_of_a_prompt(prompt: str, address: str | None) -> None:
    assert address_in(prompt) == address


def record(*fields: str) -> dict[str, Any]:
    numbers = {"price"}
    properties = {name: {"type": "number" if name in numbers else "string"} for name in fields}
    return {"type": "object", "properties": properties, "required": list(fields)}


@pytest.mark.parametrize(
    ("prompt", "schema"),
    [
        ("Extract all product names and prices from the page", {"type": "array", "items": record("name", "price")}),
        ("Get the title and the author from https://news.example.com", record("title", "author")),
        ("List names, teams and phone numbers", {"type": "array", "items": record("name", "team", "phone_number")}),
        ("Click the Sign in button", None),
        ("Find out which of the many lamps here would suit a small desk best", None),
    ],
)
def test_the_data_that_a_prompt_asks_for(prompt: str, schema: dict[str, Any] | None) -> None:
    assert schema_in(prompt) == schema
