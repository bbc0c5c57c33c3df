"""Plain words without a language model: matched to tables, lists, labels and the text of the page, or refused.

What is found is a plan (selectors and fields), so that it can be run, checked and kept. When nothing fits well, or two
things fit as well, ``instruction_unclear`` says what the page has and how to ask for it: a guess would be worse.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.browser.extract_document import Document
from workers.browser.extract_found import CLEAR, GOOD, Found, Plan, asked, name_of, unclear
from workers.browser.extract_labels import Label, labels_of
from workers.browser.extract_lists import lists_of
from workers.browser.extract_many import all_about, choose_many, table_spec
from workers.browser.extract_request import Wanted, fit, mentions, understand
from workers.browser.extract_tables import tables_of
from workers.browser.extract_text import main_text

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


def resolve_words(document: Document, instruction: str) -> Plan:
    """The plan for an instruction; PermanentError ``instruction_unclear`` when it is not sure."""
    request = understand(instruction)
    found = Found(document, request, tables_of(document), lists_of(document))
    plan = _specials(found)
    if request.wanted or (request.entity and not plan):
        if request.many or not request.wanted:
            rest = all_about(found) if request.names_things_only else None
            rest = rest or choose_many(found) or (None if request.each else _single(found))
        else:
            rest = _single(found) or choose_many(found)
        if rest is None:
            raise unclear(found, f"nothing fits {asked(request)!r} well")
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
        fields[name_of(one, request)] = label.spec
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
