"""What an instruction asks for: "all product names and prices" → of every product, name and price."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workers.browser.instruction_words import alike, meaning, telling, words

_VERBS = re.compile(
    r"^\s*(please\s+|can you\s+|i (want|need)\s+)*(extract|get|scrape|take|list|collect|read|find|show|give|return|"
    r"fetch|pull|grab|tell|gather|retrieve|what\s+(is|are))\s+(me\s+|out\s+|us\s+)?",
    re.I,
)
_PLACES = re.compile(
    r"\b(from|on|in|of|at)\s+(the|this|that|a)?\s*(current\s+|web\s*|whole\s+)?(page|site|website|screen)\b", re.I
)
_SHAPES = re.compile(r"\b(as|into|in)\s+(a\s+)?(json|csv|list|objects?|structured (data|form)|table form)\b.*$", re.I)
_MANY = re.compile(r"\b(all|every|each|any)\b(\s+of)?(\s+the(se)?)?", re.I)
_FOR_EACH = re.compile(r"^(for\s+)(?:all|every|each)\s+(?P<entity>[\w\s-]+?)\s*[,:]\s*(?P<rest>.+)$", re.I)
_OF = re.compile(r"\s+(?:of|for|per|in|from)\s+(?:the\s+|all\s+|every\s+|each\s+|these\s+)*", re.I)
_WITH = re.compile(r"\s+(?:with|including|and)\s+(?:their|its|his|her)\s+|\s+with\s+(?:the\s+)?|\s+including\s+", re.I)
_AND = re.compile(r"\s*(?:,|;|&|\band\b|\bplus\b|\bas well as\b|\balong with\b|\btogether with\b)\s*", re.I)

_SPECIALS: dict[str, set[tuple[str, ...]]] = {
    "title": {("page", "title"), ("title", "page"), ("title",), ("document", "title")},
    "main_text": {
        ("main", "content"), ("main", "text"), ("content",), ("article",), ("article", "text"), ("article", "content"),
        ("body", "text"), ("page", "content"), ("page", "text"), ("text",), ("body",), ("main", "article"),
    },
    "links": {("link",), ("hyperlink",), ("url",)},
    "images": {("image",), ("picture",), ("photo",)},
    "headings": {("heading",), ("headline",)},
    "structured": {("structured", "data"), ("json", "ld"), ("metadata",), ("meta", "data"), ("open", "graph")},
    "table": {("table",), ("row",), ("table", "row"), ("table", "data")},
}  # fmt: skip
_OF_MANY = frozenset(("links", "images", "headings"))
_CONCEPTS = """
name title heading headline
price cost preis prix
link url href hyperlink
image picture photo img thumbnail
date day published
description desc summary excerpt teaser
author writer byline
rating star score
stock availability available
number no nr num
phone telephone tel mobile
quantity qty
"""
_CONCEPT = {word: line.split()[0] for line in _CONCEPTS.strip().splitlines() for word in line.split()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that is asked for."""

    phrase: str
    """As it was said."""
    words: tuple[str, ...]


@dataclass(slots=True)
class Request:
    """What an instruction asks for."""

    specials: list[str] = field(default_factory=list)
    """``title``, ``main_text``, ``links``, ``images``, ``headings``, ``structured``, ``table``."""
    wanted: list[Wanted] = field(default_factory=list)
    entity: tuple[str, ...] = ()
    """What they are wanted of: products, orders."""
    many: bool = False
    """Whether of many things rather than of one."""
    each: bool = False
    """Whether it says so outright: all, every, of the products."""
    where: tuple[str, ...] = ()
    """What was said beside of the place: "in the south"."""

    @property
    def names_things_only(self) -> bool:
        """Whether it says what things are wanted (all lamps), and maybe nothing of what about them."""
        return not self.wanted or [one.words for one in self.wanted] == [self.entity]


def understand(instruction: str) -> Request:
    """Take the instruction apart."""
    text = _VERBS.sub("", instruction.strip().rstrip(".!?"), count=1)
    text = _SHAPES.sub("", _PLACES.sub(" ", text)).strip()
    request = Request()
    for_each = _FOR_EACH.match(text)
    if for_each is not None:
        request.each, request.entity = True, wanted_words(for_each["entity"])
        text = _VERBS.sub("", for_each["rest"])
    request.each = request.each or _MANY.search(text) is not None
    request.many = request.each
    text = re.sub(r"\s+", " ", _MANY.sub(" ", text)).strip()
    if not request.entity:
        text = _split_entity(request, text)
    _sort_pieces(
        request, [piece for piece in _AND.split(text.replace("'s ", " ").replace("’s ", " ")) if piece.strip()]
    )
    return request


def _split_entity(request: Request, text: str) -> str:
    """Put what the things are wanted of into the request; returns the things."""
    left, *right = _OF.split(text, maxsplit=1)
    if right:
        if _plural(right[0]):
            request.many = request.each = True
        entity, *where = _OF.split(right[0], maxsplit=1)
        request.entity, request.where = wanted_words(entity), wanted_words(" ".join(where))
        return left
    left, *right = _WITH.split(text, maxsplit=1)
    if right:
        request.many = request.many or _plural(left)
        request.entity = wanted_words(left)
        return right[0]
    return text


def _sort_pieces(request: Request, pieces: list[str]) -> None:
    for piece in pieces:
        found = wanted_words(piece)
        if not found:
            continue
        special = _special(found, request, alone=len(pieces) == 1, plural=_plural(piece))
        if special is not None:
            request.specials.append(special)
            continue
        if found[-1] in ("table", "row") and not request.entity:
            request.specials.append("table")
            request.entity = found[:-1]
            continue
        request.many = request.many or _plural(piece)
        request.wanted.append(Wanted(piece.strip(), found))
    first = request.wanted[0].words if request.wanted else ()
    if not request.entity and len(first) > 1 and request.many:
        # "product names and prices": the first words of the first thing say what it is of.
        request.entity = first[:-1]
    elif not request.entity and len(request.wanted) == 1 and not request.specials and request.many and len(first) == 1:
        # "all products": either the one thing that is wanted of each, or the things themselves.
        request.entity = first


def _special(found: tuple[str, ...], request: Request, *, alone: bool, plural: bool) -> str | None:
    for name, ways in _SPECIALS.items():
        if found not in ways:
            continue
        if name in _OF_MANY:
            return name if alone and not request.entity and (request.many or plural) else None
        if name == "table":
            return name
        return name if not plural and not request.entity and not request.many else None
    return None


def wanted_words(text: str) -> tuple[str, ...]:
    """The words that tell what is meant, every spelling of a meaning turned into one."""
    found = words(text)
    return meaning(telling(found)) if found else ()


def _plural(text: str) -> bool:
    said = re.findall(r"\w+", text.lower())
    return bool(said) and said[-1] != (words(said[-1]) or ("",))[0]


def concepts(found: tuple[str, ...]) -> tuple[str, ...]:
    """The words with synonyms turned into one."""
    return tuple(_CONCEPT.get(word, word) for word in found)


def fit(wanted: tuple[str, ...], entity: tuple[str, ...], label: str) -> float:
    """From 0 to 1, how well a label (of a column, a field, a class) says what is wanted."""
    said = meaning(telling(words(label[:300])))
    if not wanted or not said:
        return 0.0
    if said == wanted:
        return 1.0
    bare = wanted[len(entity) :] if entity and wanted[: len(entity)] == entity and len(wanted) > len(entity) else wanted
    if said in (bare, (*entity, *bare)):
        return 0.98
    if entity and said == entity and concepts(bare) == concepts(("name",)):
        # "product names": what is headed by the thing itself is what it is called.
        return 0.85
    best = _of_concepts(concepts(bare), concepts(said))
    same = {word for word in bare if word in said}
    return best if same or best == 0 else best * 0.92


def _of_concepts(wanted: tuple[str, ...], said: tuple[str, ...]) -> float:
    if wanted == said:
        return 0.95
    if set(wanted) <= set(said):
        return max(0.9 - 0.08 * (len(said) - len(wanted)), 0.3)
    if wanted[-1] in said and set(said) <= set(wanted):
        return 0.8
    if len(wanted) == len(said):
        likely = min(alike(one, other) for one, other in zip(wanted, said, strict=True))
        return likely * 0.9
    return 0.0


def mentions(entity: tuple[str, ...], text: str) -> bool:
    """Whether a text speaks of the things: all of their words are in it."""
    said = set(words(text[:500]))
    return bool(entity) and all(word in said or word.removesuffix("s") in said for word in entity)
