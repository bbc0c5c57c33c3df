"""Fields and records: from the elements that selectors match to values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pydantic import JsonValue

from taskengine.domain.errors import PermanentError
from workers.browser.extract_config import FieldSpec, LeafField, ValueType, full_fields
from workers.browser.extract_document import LINKS, Document, Node
from workers.browser.extract_reading import Query
from workers.browser.extract_structured import json_ld_value
from workers.browser.extract_text import main_text

_NUMBER = re.compile(r"(?:(?<!\w)[-+\u2212])?(?:(?<![\w.,)])\.\d+|\d(?:[\d.,'\u2019\u00a0\u202f ]*\d)?)")
_ARABIC = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫٬", "01234567890123456789.,")
_WHOLE = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:([.,])\d{2,3}(?:\1\d{2,3})*(?<=[.,]\d{3}))?)?")
_AMBIGUOUS = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_LONGEST_NUMBER = 40
_COMMA_LANGUAGES = re.compile(
    "az|be|bg|bs|ca|cs|da|de|el|es|et|eu|fi|fr|gl|hr|hu|hy|id|is|it|kk|lt|lv|mk|nb|nl|nn|no|pl|pt|ro|ru|sk|sl|sq|sr|sv|"
    "tr|uk|uz|vi"
)
_POINT_REGIONS = re.compile("(?:de|fr|it)-ch|de-li|es-(?:do|gt|hn|mx|ni|pa|pe|pr|sv|us)")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:[ '\u2019\u00a0\u202f]\d{3})+(?!\d)")
_TRUE = frozenset(("true", "yes", "y", "1", "on", "✓", "✔", "ja", "oui", "si", "sí"))
_FALSE = frozenset(("false", "no", "n", "0", "off", "✗", "✘", "✕", "nein", "non"))
_DATES = ("%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d")
_ORDINAL = re.compile(r"(?<=\d)(st|nd|rd|th)\b")
_EITHER_WAY = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_LONGEST_SHOWN = 200


def queries_of(prefix: str, fields: Mapping[str, FieldSpec | LeafField | str], within: str | None) -> Iterator[Query]:
    """The queries that these fields need."""
    for name, spec in full_fields(fields).items():
        if spec.source is not None:
            continue
        place = f"{prefix}.{name}"
        yield Query(place, spec.selector, within)
        if isinstance(spec, FieldSpec) and spec.fields is not None:
            yield from queries_of(place, spec.fields, place)


def take(
    document: Document, prefix: str, fields: Mapping[str, FieldSpec | LeafField | str], within: Node | None = None
) -> dict[str, JsonValue]:
    """The values of these fields; PermanentError ``value_missing`` for a required one that is not there."""
    return {name: _field(document, f"{prefix}.{name}", spec, within) for name, spec in full_fields(fields).items()}


def records(
    document: Document, prefix: str, fields: Mapping[str, FieldSpec | LeafField | str], most: int
) -> list[JsonValue]:
    """An object for each visible match of the query ``prefix``; those that hold nothing at all are left out."""
    made: list[JsonValue] = []
    for node in document.found(prefix):
        if len(made) >= most:
            break
        if node.hidden:
            continue
        record = take(document, prefix, fields, node)
        if any(value not in (None, "", []) for value in record.values()):
            made.append(record)
    return made


def _field(document: Document, place: str, spec: LeafField, within: Node | None) -> JsonValue:
    if spec.source is not None:
        return _from_elsewhere(document, place, spec, spec.source)
    matches = document.found(place, within)
    # Pages often hold a second, hidden copy for other screens: what is visible goes first.
    nodes = [node for node in matches if not node.hidden] or list(matches)
    if spec.required and not nodes:
        raise PermanentError(
            "value_missing",
            f"{place}: nothing on {document.url} matches {spec.selector!r}; correct the selector, wait for the element "
            "first, or leave out `required`",
            {"field": place, "selector": spec.selector, "url": document.url},
        )
    values = [_value(document, place, spec, node) for node in (nodes if spec.all else nodes[:1])]
    if spec.all:
        return [value for value in values if value is not None]
    return values[0] if values else None


def _from_elsewhere(document: Document, place: str, spec: LeafField, source: str) -> JsonValue:
    kind, _, path = source.partition(":")
    if kind == "json_ld":
        found = json_ld_value(document, path)
    else:
        found = main_text(document).get(source.partition(".")[2] or "text")
    value = read_as(str(found), spec.type, document, shown=False) if isinstance(found, str | int | float) else found
    if spec.required and value is None:
        raise PermanentError(
            "value_missing",
            f"{place}: {document.url} has nothing at {source!r} that can be read as {spec.type}",
            {"field": place, "source": source, "url": document.url},
        )
    return value


def _value(document: Document, place: str, spec: LeafField, node: Node) -> JsonValue:
    if isinstance(spec, FieldSpec) and spec.fields is not None:
        return take(document, place, spec.fields, node)
    if spec.html:
        return node.html(document.absolute)
    raw = node.attributes.get(spec.attribute.lower()) if spec.attribute else shown_value(document, node, spec.type)
    if spec.attribute and spec.attribute.lower() in LINKS and raw is not None:
        raw = document.absolute(raw)
    if raw is not None and spec.after is not None:
        _, found, raw = raw.partition(spec.after)
        raw = raw.strip() if found else None
    shown = spec.attribute is None and node.tag != "meta"
    value = None if raw is None else read_as(raw, spec.type, document, shown=shown)
    if value is None and spec.required:
        raise PermanentError(
            "value_missing",
            f"{place}: what {spec.selector or 'the record'} holds cannot be read as {spec.type}",
            {"field": place, "selector": spec.selector, "found": (raw or "")[:_LONGEST_SHOWN], "url": document.url},
        )
    return value


def shown_value(document: Document, node: Node, type: ValueType = "text") -> str | None:
    """What an element says: its text; of an image its address, of a ``meta`` its content, of a link that is to be read
    as a URL where it leads, of a time that is to be read as a date the exact one.
    """
    held = node.attributes
    if node.tag == "meta":
        return held.get("content")
    if node.tag in ("img", "source", "iframe"):
        link = held.get("src") or held.get("data-src")
        return document.absolute(link) if link else None
    if type == "url" and node.tag in ("a", "area", "link"):
        return held.get("href")
    if type == "url":
        link_inside = next((inner.attributes["href"] for inner in node.walk() if "href" in inner.attributes), None)
        return link_inside or node.text()
    if type == "date":
        exact = next((inner.attributes["datetime"] for inner in node.walk() if "datetime" in inner.attributes), None)
        return exact or node.text()
    return node.text()


def read_as(text: str, type: ValueType, document: Document, *, shown: bool = True) -> JsonValue:
    """The text as a value of that type; None when it is none. ``shown``: for people, in the language of the page."""
    match type:
        case "number":
            return number(text, shown and decimal_comma(document))
        case "integer":
            found = number(text, shown and decimal_comma(document))
            return int(found) if found is not None and float(found).is_integer() else None
        case "boolean":
            word = text.strip().lower()
            return True if word in _TRUE else False if word in _FALSE else None
        case "url":
            return document.absolute(text) if text.strip() else None
        case "date":
            return moment(text)
        case "text":
            return text


def number(text: str, decimal_comma: bool = False) -> int | float | None:
    """The first number in a text, with either way of writing thousands and decimals; None when there is none, or when
    its signs group no thousands (``1.2.3``).

    A single comma before exactly three digits separates thousands (``1,299``), a single point decimals (``1.299``);
    where ``decimal_comma`` is usual it is the other way round.
    """
    found = _NUMBER.search(text[:10_000].translate(_ARABIC))
    if found is None:
        return None
    digits = found.group().replace("\u2212", "-")
    grouped = _GROUPED.match(digits)
    # "3 of 12": what a space separates are two numbers, unless it groups thousands.
    digits = re.sub(r"[ '\u2019\u00a0\u202f]", "", digits if grouped else re.split(r"[ \u00a0\u202f]", digits)[0])
    sign = _decimal_sign(digits, decimal_comma)
    whole, _, part = digits.rpartition(sign) if sign else (digits, "", "")
    if not _WHOLE.fullmatch(whole) or (sign and not part.isdecimal()):
        return None
    plain = re.sub(r"[.,]", "", whole) + (f".{part}" if sign else "")
    if len(plain) > _LONGEST_NUMBER:
        return None
    value = float(plain)
    exact = "." not in plain and abs(value) < 2**53
    return int(plain) if exact else value


def _decimal_sign(digits: str, decimal_comma: bool) -> str:
    """The sign before the decimals; empty where there are none."""
    last_comma, last_point = digits.rfind(","), digits.rfind(".")
    if last_comma >= 0 and last_point >= 0:
        return "," if last_comma > last_point else "."
    sign = "," if last_comma >= 0 else "."
    if digits.count(sign) != 1:
        return ""
    if not _AMBIGUOUS.fullmatch(digits):
        return sign
    return sign if (sign == ",") == decimal_comma else ""


def holds_number(text: str) -> bool:
    """Whether digits stand in the text, of a number or of something like a date."""
    return _NUMBER.search(text[:10_000]) is not None


def decimal_comma(document: Document) -> bool:
    """Whether the language that the page names writes decimals after a comma."""
    language = document.root.attributes.get("lang", "").strip().lower().replace("_", "-")
    general = language.partition("-")[0]
    return _COMMA_LANGUAGES.fullmatch(general) is not None and _POINT_REGIONS.fullmatch(language) is None


def moment(text: str) -> str | None:
    """A date or time as RFC 3339, in UTC when it names no zone; None when it is none or ambiguous (``03/04/2026``)."""
    plain = text.strip()[:100]
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        at = None
    if at is not None:
        if len(plain) <= 10:
            return at.date().isoformat()
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")
    return _worded_date(plain)


def _worded_date(plain: str) -> str | None:
    either = _EITHER_WAY.fullmatch(plain)
    if either is not None:
        first, second, year = (int(part) for part in either.groups())
        if first > 12 or second > 12 or first == second:
            day, month = (first, second) if first > 12 or first == second else (second, first)
            return _date(year, month, day)
        return None
    worded = _ORDINAL.sub("", plain.replace(",", " ")).split()
    for form in _DATES:
        try:
            return datetime.strptime(" ".join(worded), form).date().isoformat()
        except ValueError:
            continue
    return None


def _date(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def links(document: Document, most: int) -> list[dict[str, Any]]:
    """All visible links that lead to a page or a mailbox, each once, with their texts."""
    found: dict[str, str] = {}
    for node in document.root.walk():
        target = node.attributes.get("href", "").strip() if node.tag in ("a", "area") else ""
        if not target or node.hidden or target.lower().startswith(("javascript:", "#")):
            continue
        url = document.absolute(target)
        text = node.text() or node.attributes.get("aria-label") or node.attributes.get("title") or _image_text(node)
        found[url] = found.get(url) or text
        if len(found) >= most:
            break
    return [{"text": text, "url": url} for url, text in found.items()]


def _image_text(node: Node) -> str:
    return next((inner.attributes["alt"] for inner in node.walk() if inner.attributes.get("alt")), "")


def first_visible(nodes: Sequence[Node]) -> Node | None:
    """The first of them that is displayed."""
    return next((node for node in nodes if not node.hidden), None)
