"""Single values and what the page calls them: definition lists, tables of one thing, form fields, ``Weight: 3 kg``,
microdata, JSON-LD, meta tags, elements whose class or id says what they hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from pydantic import JsonValue

from workers.browser.extract_document import Document, Node
from workers.browser.extract_fields import shown_value
from workers.browser.extract_lists import own_names, path_of
from workers.browser.extract_structured import entities, json_ld_value, structured_data
from workers.browser.extract_tables import cell_text, kind_of, read_table

_SAID = re.compile(r"^([^:\n]{2,40}):\s+(\S.{0,300})$")
_NAME = re.compile(r"-?[A-Za-z_][\w-]*")
_PREFIX = re.compile(r"^(og|article|twitter|dc|product):")
_NO_THINGS = frozenset(("WebSite", "WebPage", "BreadcrumbList", "ListItem", "ImageObject", "SearchAction", "ItemList"))
_CONTROLS = frozenset(("input", "select", "textarea"))
_TITLES = ("title", "name", "headline")
_MOST = 3_000
_MOST_CLASSED = 5_000
_MOST_ENTITIES = 50
_MOST_INSIDE = 200
_LONGEST = 2_000

Spec = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Label:
    """A value, what the page calls it, and how to find it again."""

    text: str
    value: str
    spec: Spec
    weight: float
    """How much such a label is to be trusted, up to 1."""


def labels_of(document: Document) -> list[Label]:
    """All that can be told of the page, the surest kinds first."""
    made: list[Label] = []
    for label in _all(document):
        if label.text and label.value and len(label.value) <= _LONGEST:
            made.append(label)
            if len(made) >= _MOST:
                break
    return made


def _all(document: Document) -> Iterator[Label]:
    shown = [node for node in document.root.walk() if not node.hidden]
    small = [node for node in shown if node.size <= _MOST_INSIDE]
    yield from _definitions(shown)
    yield from _table_rows(shown)
    yield from _controls(small)
    yield from _said_in_lines(small)
    yield from _microdata(document, small)
    yield from _headline(small)
    yield from _named_elements(small)
    yield from _json_ld(document)
    yield from _meta(document)


def _definitions(shown: list[Node]) -> Iterator[Label]:
    for node in shown:
        beside = node.elements
        for label, value in pairwise(beside):
            if (label.tag, value.tag) == ("dt", "dd") and not label.hidden:
                yield _beside(label, value, "dt", "dd")


def _table_rows(shown: list[Node]) -> Iterator[Label]:
    for node in shown:
        if kind_of(node) != "table":
            continue
        table = read_table(node)
        if table.heading_rows and not table.sideways:
            continue
        for row in table.rows:
            if len(row) == 2 and row[0] is not None and row[1] is not None and cell_text(row[0]):
                yield _beside(row[0], row[1], row[0].tag, row[1].tag)


def _beside(label: Node, value: Node, tag: str, value_tag: str) -> Label:
    """Found again by the label's words, wherever the page moves it."""
    text = label.text()
    if '"' in text or label.attributes.get("role"):
        selector = path_of(value)
    else:
        selector = f'//{tag}[normalize-space()="{text}"]/following-sibling::{value_tag}[1]'
    return Label(text.rstrip(": "), value.text(), {"selector": selector}, 1.0)


def _controls(shown: list[Node]) -> Iterator[Label]:
    by_id = {node.attributes["id"]: node for node in shown if "id" in node.attributes}
    for node in shown:
        if node.tag in _CONTROLS and node.attributes.get("aria-label"):
            yield from _control(node.attributes["aria-label"], node)
        if node.tag != "label":
            continue
        control = by_id.get(node.attributes.get("for", ""))
        inside = next((inner for inner in node.walk() if inner.tag in _CONTROLS), None)
        if control is None:
            control = inside
        if control is not None and control.tag in _CONTROLS:
            yield from _control(" ".join(node.raw_text([control]).split()), control)


def _control(text: str, node: Node) -> Iterator[Label]:
    if node.attributes.get("type") not in ("password", "hidden", "submit", "button"):
        identifier = node.attributes.get("id", "")
        selector = f"#{identifier}" if _NAME.fullmatch(identifier) else path_of(node)
        yield Label(text.strip(" :*"), node.attributes.get("value", ""), {"selector": selector}, 0.95)


def _said_in_lines(shown: list[Node]) -> Iterator[Label]:
    for node in shown:
        if not (node.block or node.cell) or any(inner.block for inner in node.elements):
            continue
        said = _SAID.match(node.text())
        if said is not None:
            yield Label(said[1], said[2], {"selector": path_of(node), "after": f"{said[1]}:"}, 0.9)


def _microdata(document: Document, shown: list[Node]) -> Iterator[Label]:
    for node in shown:
        prop = node.attributes.get("itemprop", "")
        if _NAME.fullmatch(prop) and "itemscope" not in node.attributes:
            value = node.attributes.get("content") or shown_value(document, node) or ""
            spec: Spec = {"selector": f'[itemprop="{prop}"]'}
            if "content" in node.attributes:
                spec["attribute"] = "content"
            yield Label(prop, value, spec, 0.95)


def _headline(shown: list[Node]) -> Iterator[Label]:
    headlines = [node for node in shown if node.tag == "h1"]
    if len(headlines) == 1:
        for name in _TITLES:
            yield Label(name, headlines[0].text(), {"selector": "h1"}, 0.85)


def _named_elements(shown: list[Node]) -> Iterator[Label]:
    """Elements whose class or id names what they say; a class that several have names nothing."""
    counts = Counter(name for node in shown for name in set(node.classes))
    for place, node in enumerate(shown):
        if place >= _MOST_CLASSED or node.tag in ("html", "body", "nav", "header", "footer", "form", "main", "table"):
            continue
        if not any(isinstance(child, str) and child.strip() for child in node.children):
            continue
        if any(inner.block for inner in node.elements):
            continue
        for name in node.classes:
            if _NAME.fullmatch(name):
                # Each of several is told, so that nobody takes the first for the only one.
                weight = 0.8 if counts[name] == 1 else 0.78
                yield Label(re.sub(r"[-_]+", " ", name), node.text(), {"selector": f".{name}"}, weight)
        identifier = node.attributes.get("id", "")
        if _NAME.fullmatch(identifier):
            yield Label(re.sub(r"[-_]+", " ", identifier), node.text(), {"selector": f"#{identifier}"}, 0.8)
        for name in own_names(node):
            if name == node.attributes.get("aria-label"):
                yield Label(name, node.text(), {"selector": path_of(node)}, 0.75)


def _json_ld(document: Document) -> Iterator[Label]:
    for entry in islice(entities(structured_data(document)["json_ld"]), _MOST_ENTITIES):
        kinds = entry.get("@type")
        if (kinds if isinstance(kinds, str) else "") in _NO_THINGS:
            continue
        for name, value in entry.items():
            if name.startswith("@") or not isinstance(value, str | int | float | dict):
                continue
            paths = [name] if not isinstance(value, dict) else [name, *(f"{name}.{inner}" for inner in value)]
            for path in paths:
                found = json_ld_value(document, path)
                if found is not None and "@" not in path:
                    yield Label(path.rpartition(".")[2], str(found), {"source": f"json_ld:{path}"}, 0.8)


def _meta(document: Document) -> Iterator[Label]:
    for node in document.root.walk():
        if node.tag != "meta" or "content" not in node.attributes:
            continue
        for attribute in ("name", "property"):
            name = node.attributes.get(attribute, "")
            if name and re.fullmatch(r"[\w:.-]{1,80}", name):
                text = re.sub(r"[:_-]+", " ", _PREFIX.sub("", name))
                spec: Spec = {"selector": f'meta[{attribute}="{name}"]', "attribute": "content"}
                yield Label(text, node.attributes["content"], spec, 0.7)
