"""Places in the items of a list: which one is what is wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workers.browser.extract_fields import holds_number, moment
from workers.browser.extract_found import CLEAR, Plan
from workers.browser.extract_lists import Items, Slot
from workers.browser.extract_request import Request, Wanted, concepts, fit

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_CURRENCY = re.compile(r"[$€£¥₹]|\b(usd|eur|gbp|chf|inr|jpy|kr)\b", re.I)
_OLD = frozenset(("was", "old", "before", "regular", "rrp", "original", "list"))
_STRUCK = frozenset(("s", "del", "strike"))
_SAID = re.compile(r"^([^:\n]{2,30}):\s+\S")


def best_slot(one: Wanted, request: Request, items: Items) -> tuple[Slot | None, float]:
    ranked = sorted(
        (
            (slot_fit(one, request.entity, slot) * items.share(slot) ** 0.5, place)
            for place, slot in enumerate(items.slots)
        ),
        key=lambda pair: (-pair[0], pair[1]),
    )
    if not ranked or ranked[0][0] <= 0:
        return None, 0.0
    best = items.slots[ranked[0][1]]
    for score, place in ranked[1:]:
        if score <= ranked[0][0] - CLEAR:
            break
        if items.slots[place].texts != best.texts:
            return None, 0.0
    return best, ranked[0][0]


def slot_fit(one: Wanted, entity: tuple[str, ...], slot: Slot) -> float:
    """How well a place in the items is what is wanted: by what the page calls it, and by what it looks like."""
    named = max((fit(one.words, entity, name) for name in slot.names), default=0.0) * 0.97
    around = max((fit(one.words, entity, name) for name in slot.around), default=0.0) * 0.85
    label = _common_label(slot)
    labelled = fit(one.words, entity, label) * 0.97 if label else 0.0
    score = max(named, around, labelled, _looks(concepts(one.words)[-1], slot))
    old = _OLD & set(" ".join(slot.names).lower().split()) or slot.tag in _STRUCK
    return score - 0.3 if old else score


def _looks(concept: str, slot: Slot) -> float:
    """How well a place looks like what is wanted, whatever the page calls it."""
    texts, score = slot.texts, 0.0
    match concept:
        case "name" if slot.tag in _HEADINGS or slot.in_heading:
            score = 0.88
        case "name" if slot.tag in ("a", "strong", "b") and not _numbers(texts):
            score = 0.7
        case "price" if all(_CURRENCY.search(text) for text in texts) and _numbers(texts):
            score = 0.85
        case "link" if slot.tag == "a":
            score = 0.85
        case "image" if slot.tag == "img":
            score = 0.9
        case "date" if slot.tag == "time" or all(moment(text) for text in texts):
            score = 0.88
    return score


def _numbers(texts: Sequence[str]) -> bool:
    return all(holds_number(text) for text in texts)


def _common_label(slot: Slot) -> str | None:
    said = {match[1] if (match := _SAID.match(text)) else None for text in slot.texts}
    return said.pop() if len(said) == 1 else None


def slot_spec(one: Wanted, slot: Slot) -> Plan:
    """The field that takes what is there."""
    spec: Plan = {} if slot.selector == ":scope" else {"selector": slot.selector}
    concept = concepts(one.words)[-1]
    if slot.tag == "a" and concept == "link":
        spec["type"] = "url"
    if slot.nodes and slot.nodes[0].attributes.get("content") is not None and slot.tag != "meta":
        spec["attribute"] = "content"
    label = _common_label(slot)
    if label is not None:
        spec["after"] = f"{label}:"
    return spec


def all_slots(items: Items) -> Plan:
    """Everything that the items say, under the names that the page has for it."""
    fields: Plan = {}
    for slot in items.slots:
        kinds = [kind for kind in ("name", "price", "image", "date") if _looks(kind, slot) >= 0.7]
        called = next((name for name in slot.names if re.fullmatch(r"[A-Za-z][\w ]{1,30}", name)), None)
        name = re.sub(r"\W+", "_", called.lower()) if called else (kinds[0] if kinds else f"text_{len(fields) + 1}")
        if name not in fields and (any(slot.texts) or slot.tag == "img"):
            fields[name] = slot_spec(Wanted(name, (name,)), slot)
        if slot.tag == "a" and "link" not in fields:
            fields["link"] = slot_spec(Wanted("link", ("link",)), slot)
    return fields
