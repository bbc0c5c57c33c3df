"""Files and ``NAME=VALUE`` options as data."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from taskengine.domain.documents import Document


def read_text(source: str, option: str) -> str:
    """The text of a file, or of stdin (``-``)."""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{option}: cannot read {source}: {error}") from None


def read_document(source: str, option: str) -> tuple[str, Document]:
    """A file in YAML or JSON: its text, and an object with the place of each part."""
    from taskengine.domain.documents import DocumentFault, parse  # noqa: PLC0415 - YAML need not load for --help

    text = read_text(source, option)
    try:
        document = parse(text)
    except DocumentFault as fault:
        raise typer.BadParameter(f"{option}: {source}, line {fault.line}: {fault.message}") from None
    if not isinstance(document.data, dict):
        raise typer.BadParameter(f"{option}: {source} should hold an object")
    return text, document


def parse_json(text: str, option: str) -> Any:
    """JSON that an option holds."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{option}: is no JSON: {error}") from None


def parse_object(text: str | None, option: str) -> dict[str, Any]:
    """A JSON object that an option holds; empty without the option."""
    value = {} if text is None else parse_json(text, option)
    if not isinstance(value, dict):
        raise typer.BadParameter(f'{option}: should be a JSON object, such as {{"message": "hello"}}')
    return value


def assignments(entries: Iterable[str] | None, option: str, *, strict: bool = False) -> dict[str, Any]:
    """``NAME=VALUE`` options by name: JSON where the value is JSON, otherwise text; ``strict`` takes JSON only."""
    found: dict[str, Any] = {}
    for entry in entries or ():
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{option}: should read NAME=VALUE, not {entry}")
        found[name] = parse_json(value, f"{option} {name}") if strict else _json_or_text(value)
    return found


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
