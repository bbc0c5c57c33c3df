"""Plain words without a language model: matched to tables, lists, labels and the text of the page, or refused.

What is found is a plan (selectors and fields), so that it can be run, checked and kept. When nothing fits well, or two
things fit as well, ``instruction_unclear`` says what the page has and how to ask for it: a guess would be worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from taskengine.domain.errors import PermanentError
from workers.browser.extract_config import TableSpec
from workers.browser.extract_document import Document
from workers.browser.extract_fields import moment, number
from workers.browser.extract_labels import Label, labels_of
from workers.browser.extract_lists import Items, Slot, lists_of, path_of
from workers.browser.extract_request import Request, Wanted, concepts, fit, mentions, understand
from workers.browser.extract_tables import Table, choose_table, tables_of
from workers.browser.extract_text import main_text
from workers.browser.instruction_words import telling, words

GOOD = 0.6
"""Below this nothing fits."""
CLEAR = 0.08
"""The next best must be worse by this much."""
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_ANYTHING = frozenset(
    ("product", "item", "good", "article", "entry", "result", "record", "listing", "offer", "card", "post", "thing")
)
_CURRENCY = re.compile(r"[$€£¥₹]|\b(usd|eur|gbp|chf|inr|jpy|kr)\b", re.I)
_OLD = frozenset(("was", "old", "before", "regular", "rrp", "original", "list"))
_STRUCK = frozenset(("s", "del", "strike"))
_SAID = re.compile(r"^([^:\n]{2,30}):\s+\S")

Plan = dict[str, JsonValue]


@dataclass(slots=True)
class Candidate:
    """A way to read the request on this page."""

    score: float
    plan: Plan
    what: str
    size: int = 0
    """How many records it would bring."""


@dataclass(slots=True)
class Found:
    """What was looked at, for the error that says why nothing was chosen."""

    document: Document
    request: Request
    tables: list[Table]
    lists: list[Items]
    labels: list[Label] = field(default_factory=list)


def resolve_words(document: Document, instruction: str) -> Plan:
    """The plan for an instruction; PermanentError ``instruction_unclear`` when it is not sure."""
    request = understand(instruction)
    found = Found(document, request, tables_of(document), lists_of(document))
    plan = _specials(found)
    if request.wanted or (request.entity and not plan):
        if request.many or not request.wanted:
            rest = _things(found) if request.names_things_only else None
            rest = rest or choose_many(found) or (None if request.each else _single(found))
        else:
            rest = _single(found) or choose_many(found)
        if rest is None:
            raise unclear(found, f"nothing fits {_asked(request)!r} well")
        plan = _merged(plan, rest)
    if not plan:
        raise unclear(found, "the instruction names nothing that can be looked for")
    return plan


def _merged(plan: Plan, rest: Plan) -> Plan:
    fields = plan.get("fields"), rest.get("fields")
    merged = plan | rest
    if isinstance(fields[0], dict) and isinstance(fields[1], dict):
        merged["fields"] = fields[0] | fields[1]
    if ("records" in rest or "table" in rest) and "title" in str(plan.get("fields", "")):
        # The title was one of the things wanted of each.
        merged.pop("fields", None)
    return merged


# What has a place of its own on every page


def _specials(found: Found) -> Plan:
    plan: Plan = {}
    fields: Plan = {}
    for name in found.request.specials:
        match name:
            case "title":
                fields["title"] = _title(found.document)
            case "main_text":
                if not str(main_text(found.document)["text"]).strip():
                    raise unclear(found, "the page has no main text")
                fields["main_content"] = {"source": "main_text"}
            case "links" | "structured":
                plan[name] = True
            case "images":
                spec: Plan = {"url": {"attribute": "src"}, "text": {"attribute": "alt"}}
                plan["records"] = {"selector": "img", "fields": spec}
            case "headings":
                fields["headings"] = {"selector": ", ".join(_HEADINGS), "all": True}
            case "table":
                plan["table"] = _whole_table(found)
    if fields:
        plan["fields"] = fields
    return plan


def _title(document: Document) -> Plan:
    return {"selector": "title"} if document.title.strip() else {"selector": "h1"}


def _whole_table(found: Found) -> Plan:
    """The table that is meant by its name, or the only one."""
    entity = found.request.entity
    named = [
        table for table in found.tables
        if not entity or mentions(entity, table.caption) or any(mentions(entity, text) for text in table.headings)
    ]  # fmt: skip
    named = [table for table in named if mentions(found.request.where, table.caption)] or named
    captioned = [table for table in named if mentions(entity, table.caption)]
    chosen = named if len(named) == 1 else captioned
    if not named and len(found.tables) == 1 and mentions(entity, found.document.title):
        chosen = found.tables
    if len(chosen) != 1:
        count = len(named)
        raise unclear(found, f"{count} tables fit" if count else "no table fits")
    return {**table_spec(found.document, chosen[0])}


def table_spec(document: Document, table: Table) -> Plan:
    """How to find this table again: by its headings or its caption, and by its place if these do not tell."""
    headings = [text for text in table.headings if text]
    ways: list[Plan] = [{"headings": list(headings)}] if headings else []
    if table.caption:
        ways += [{"caption": table.caption}, {"caption": table.caption, "headings": list(headings)}]
    for way in ways:
        try:
            if choose_table(document, TableSpec.model_validate(way)).node is table.node:
                return way
        except (PermanentError, ValueError):
            continue
    return {"selector": path_of(table.node)}


# Many things: tables and lists


def _things(found: Found) -> Plan | None:
    """All about the things that were named, where nothing was said of what about them."""
    return _chosen(found, [*_in_tables(found, [], {}), *_in_lists(found, [], {})])


def choose_many(found: Found, keys: Mapping[Wanted, str] | None = None) -> Plan | None:
    """The table or list that has everything that is wanted; its fields are named by ``keys``, else by the words."""
    request = found.request
    wanted = list(request.wanted)
    if "title" in request.specials and wanted:
        wanted.insert(0, Wanted("title", ("title",)))
    names = keys or {one: _key(one, request) for one in wanted}
    return _chosen(found, [*_in_tables(found, wanted, names), *_in_lists(found, wanted, names)])


def _chosen(found: Found, candidates: Sequence[Candidate]) -> Plan | None:
    good = sorted((one for one in candidates if one.score >= GOOD), key=lambda one: -one.score)
    if not good:
        return None
    best = good[0]
    close = [one for one in good[1:] if one.score > best.score - CLEAR]
    if close:
        names = "; ".join(one.what for one in (best, *close[:4]))
        raise unclear(found, f"{1 + len(close)} places fit as well: {names}")
    return best.plan


def _in_tables(found: Found, wanted: Sequence[Wanted], keys: Mapping[Wanted, str]) -> Iterable[Candidate]:
    for table in found.tables:
        if table.sideways or not table.heading_rows:
            continue
        # Of things alone: "all orders" is a table called so; "all names" rather its column than all of it.
        around = table.caption if not wanted else f"{table.caption} {' '.join(table.headings)}"
        trust = _of_entity(found, around)
        if not wanted:
            if trust > 0:
                yield Candidate(
                    0.75 + trust, {"table": table_spec(found.document, table)}, _of_table(table), len(table.rows)
                )
            continue
        columns: Plan = {}
        scores = []
        for one in wanted:
            heading, score = _best_heading(one, found.request, table)
            if heading is not None:
                columns[keys[one]] = heading
            scores.append(score)
        if min(scores) >= 0.55 and len(columns) == len(wanted):
            spec = {**table_spec(found.document, table), "columns": columns}
            yield Candidate(sum(scores) / len(scores) + trust, {"table": spec}, _of_table(table), len(table.rows))


def _best_heading(one: Wanted, request: Request, table: Table) -> tuple[str | None, float]:
    ranked = sorted(((fit(one.words, request.entity, text), text) for text in table.headings if text), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[1][0] > ranked[0][0] - CLEAR and ranked[0][0] > 0):
        return None, 0.0
    return ranked[0][1], ranked[0][0]


def _in_lists(found: Found, wanted: Sequence[Wanted], keys: Mapping[Wanted, str]) -> Iterable[Candidate]:
    for items in found.lists:
        trust = _of_entity(found, f"{items.names} {items.heading}") - (0.25 if items.beside else 0.0)
        if not wanted:
            fields = _all_slots(items)
            if trust > 0 and fields:
                plan: Plan = {"records": {"selector": items.selector, "fields": fields}}
                yield Candidate(0.7 + trust, plan, _of_list(items), len(items.nodes))
            continue
        chosen: Plan = {}
        scores = []
        for one in wanted:
            slot, score = _best_slot(one, found.request, items)
            if slot is not None:
                chosen[keys[one]] = slot_spec(one, slot)
            scores.append(score)
        if min(scores) >= 0.5 and len(chosen) == len(wanted):
            plan = {"records": {"selector": items.selector, "fields": chosen}}
            yield Candidate(sum(scores) / len(scores) + trust, plan, _of_list(items), len(items.nodes))


def _best_slot(one: Wanted, request: Request, items: Items) -> tuple[Slot | None, float]:
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
    texts = slot.texts
    match concept:
        case "name":
            if slot.tag in _HEADINGS or slot.in_heading:
                return 0.88
            return 0.7 if slot.tag in ("a", "strong", "b") and not _numbers(texts) else 0.0
        case "price":
            return 0.85 if all(_CURRENCY.search(text) and number(text) is not None for text in texts) else 0.0
        case "link":
            return 0.85 if slot.tag == "a" else 0.0
        case "image":
            return 0.9 if slot.tag == "img" else 0.0
        case "date":
            return 0.88 if slot.tag == "time" or all(moment(text) for text in texts) else 0.0
    return 0.0


def _numbers(texts: Sequence[str]) -> bool:
    return all(number(text) is not None for text in texts)


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


def _all_slots(items: Items) -> Plan:
    """Everything that the items say, under the names that the page has for it."""
    fields: Plan = {}
    for slot in items.slots:
        kinds = [kind for kind in ("name", "price", "image", "date", "link") if _looks(kind, slot) >= 0.85]
        called = next((name for name in slot.names if re.fullmatch(r"[A-Za-z][\w ]{1,30}", name)), None)
        name = re.sub(r"\W+", "_", called.lower()) if called else (kinds[0] if kinds else f"text_{len(fields) + 1}")
        if name not in fields:
            fields[name] = slot_spec(Wanted(name, (name,)), slot)
    return fields


def _of_entity(found: Found, around: str) -> float:
    """How much to trust that these are the things: more if they are called so, less if the whole page never does."""
    entity, where = found.request.entity, found.request.where
    if where and mentions(where, around):
        return 0.25
    if not entity:
        return 0.0
    if mentions(entity, around):
        return 0.12
    document = found.document
    if mentions(entity, f"{document.title} {document.url} {_headline(document)}"):
        return 0.04
    return 0.0 if set(entity) <= _ANYTHING else -0.4


def _headline(document: Document) -> str:
    return " ".join(node.text() for node in document.root.walk() if node.tag in ("h1", "h2") and not node.hidden)[:500]


def _key(one: Wanted, request: Request) -> str:
    """``product_names`` of products is ``name``."""
    entity, said = request.entity, telling(words(one.phrase))
    bare = said[len(entity) :] if entity and one.words[: len(entity)] == entity and len(said) > len(entity) else said
    return "_".join(bare)


# One thing: labels


def _single(found: Found) -> Plan | None:
    request = found.request
    if not request.wanted:
        return None
    found.labels = labels_of(found.document)
    fields: Plan = {}
    for one in request.wanted:
        label = best_label(one, request.entity, found.labels)
        if label is None:
            return None
        fields[_key(one, request)] = label.spec
    return {"fields": fields}


def best_label(one: Wanted, entity: tuple[str, ...], labels: Sequence[Label]) -> Label | None:
    """The label that says what is wanted; None if none does, or if two of them that do have different values."""
    whole = Wanted(one.phrase, (*entity, *one.words)) if entity else one
    ranked = sorted(
        (
            (max(fit(way.words, entity, label.text) for way in (one, whole)) * label.weight, -place)
            for place, label in enumerate(labels)
        ),
        reverse=True,
    )
    if not ranked or ranked[0][0] < GOOD:
        return None
    best = labels[-ranked[0][1]]
    for score, place in ranked[1:]:
        if score <= ranked[0][0] - CLEAR:
            break
        if labels[-place].value != best.value:
            return None
    return best


# Saying what is there


def unclear(found: Found, reason: str) -> PermanentError:
    """The error, with what the page has and how to ask for it."""
    labels = found.labels or labels_of(found.document)
    tables: list[JsonValue] = [table.described() for table in found.tables[:10]]
    lists: list[JsonValue] = [
        {
            "selector": items.selector,
            "records": len(items.nodes),
            "heading": items.heading[:200],
            "fields": [(slot.names[0] if slot.names else slot.tag)[:100] for slot in items.slots[:15]],
            "first": [text[:80] for slot in items.slots[:5] for text in slot.texts[:1]],
        }
        for items in found.lists[:10]
    ]
    names: list[JsonValue] = list[JsonValue](dict.fromkeys(label.text[:100] for label in labels))[:30]
    return PermanentError(
        "instruction_unclear",
        f"{reason}. {_advice(found)}",
        {"reason": reason, "url": found.document.url, "tables": tables, "lists": lists, "labels": names},
    )


def _advice(found: Found) -> str:
    ways = []
    if found.tables:
        names = " and ".join(text for text in found.tables[0].headings[:2] if text) or "the table"
        ways.append(f'ask by a table\'s headings ("{names}")')
    if found.lists:
        ways.append("name the list by `records` with one of the selectors in the details")
    if not ways:
        ways.append("give `fields` with selectors")
    return f"Say it in the words of the page: {', or '.join(ways)}"


def _of_table(table: Table) -> str:
    return f"the table {table.caption!r}" if table.caption else f"the table with {', '.join(table.headings[:4])}"


def _of_list(items: Items) -> str:
    return f"the {len(items.nodes)} × {items.selector!r}"


def _asked(request: Request) -> str:
    things = ", ".join(one.phrase for one in request.wanted)
    if request.names_things_only or not request.entity:
        return things or " ".join(request.entity)
    return f"{things} of {' '.join(request.entity)}"
