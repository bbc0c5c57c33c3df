"""The main text of a page: what is left without menus, advertisements and footers."""

from __future__ import annotations

import trafilatura
from pydantic import JsonValue

from taskengine.domain.cleaning import clean_text
from workers.browser.extract_document import Document, Node

_MOST_HTML = 5_000_000
_MOST_TEXT = 1_000_000
_META = ("title", "author", "date", "description", "sitename", "language")
_BODIES = ("main", "article", "body")


def main_text(document: Document) -> dict[str, JsonValue]:
    """``text`` and ``title``; ``author``, ``date``, ``description``, ``sitename``, ``language`` where it has them."""
    if "main_text" not in document.made:
        document.made["main_text"] = _read(document)
    held: dict[str, JsonValue] = document.made["main_text"]
    return held


def _read(document: Document) -> dict[str, JsonValue]:
    html = _html(document)
    found = None
    if len(html) <= _MOST_HTML:
        found = trafilatura.bare_extraction(html, url=document.url, with_metadata=True)
    held = found.as_dict() if found is not None and not isinstance(found, dict) else found or {}
    text = held.get("text") or _whole_text(document)
    values: dict[str, JsonValue] = {"text": clean_text(str(text))[:_MOST_TEXT]}
    for name in _META:
        value = held.get(name)
        if isinstance(value, str) and value:
            values[name] = clean_text(value)[:2000]
    return {"title": document.title or None} | values


def _html(document: Document) -> str:
    """What is visible, and the head, which says who wrote it and when."""
    tops = [node for node in document.root.elements if node.tag in ("head", "body")]
    mains = [node for node in document.root.walk() if _is_main(node)]
    if len(mains) == 1:
        # The page itself says where its content is.
        tops = [node if node.tag == "head" else mains[0] for node in tops]
    parts = [node.outer_html(document.absolute, hidden=node.tag == "head") for node in tops]
    return f"<html>{''.join(parts)}</html>"


def _is_main(node: Node) -> bool:
    return (node.tag == "main" or node.attributes.get("role") == "main") and not node.hidden and len(node.text()) > 100


def _whole_text(document: Document) -> str:
    for tag in _BODIES:
        node: Node | None = next((node for node in document.root.walk() if node.tag == tag and not node.hidden), None)
        if node is not None and (text := node.lines()):
            return text
    return ""
