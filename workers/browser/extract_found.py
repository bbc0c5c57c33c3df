"""What the matching of words looks at, how it chooses, and what it says when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from taskengine.domain.errors import PermanentError
from workers.browser.extract_document import Document
from workers.browser.extract_labels import Label, labels_of
from workers.browser.extract_lists import Items
from workers.browser.extract_request import Request, Wanted, mentions
from workers.browser.extract_tables import Table
from workers.browser.instruction_words import telling, words

GOOD = 0.6
"""Below this nothing fits."""
CLEAR = 0.08
"""The next best must be worse by this much."""
_ANYTHING = frozenset(
    ("product", "item", "good", "article", "entry", "result", "record", "listing", "offer", "card", "post", "thing")
)
Plan = dict[str, JsonValue]


@dataclass(slots=True)
class Candidate:
    """A way to read the request on this page."""

    score: float
    plan: Plan
    what: str


@dataclass(slots=True)
class Found:
    """What was looked at, for the error that says why nothing was chosen."""

    document: Document
    request: Request
    tables: list[Table]
    lists: list[Items]
    labels: list[Label] = field(default_factory=list)


def chosen(found: Found, candidates: Sequence[Candidate]) -> Plan | None:
    good = sorted((one for one in candidates if one.score >= GOOD), key=lambda one: -one.score)
    if not good:
        return None
    best = good[0]
    close = [one for one in good[1:] if one.score > best.score - CLEAR]
    if close:
        names = "; ".join(one.what for one in (best, *close[:4]))
        raise unclear(found, f"{1 + len(close)} places fit as well: {names}")
    return best.plan


def trust_in(found: Found, around: str) -> float:
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


def name_of(one: Wanted, request: Request) -> str:
    """``product_names`` of products is ``name``."""
    entity, said = request.entity, telling(words(one.phrase))
    bare = said[len(entity) :] if entity and one.words[: len(entity)] == entity and len(said) > len(entity) else said
    return "_".join(bare)


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


def said_of_table(table: Table) -> str:
    return f"the table {table.caption!r}" if table.caption else f"the table with {', '.join(table.headings[:4])}"


def said_of_list(items: Items) -> str:
    return f"the {len(items.nodes)} × {items.selector!r}"


def asked(request: Request) -> str:
    things = ", ".join(one.phrase for one in request.wanted)
    if request.names_things_only or not request.entity:
        return things or " ".join(request.entity)
    return f"{things} of {' '.join(request.entity)}"
