"""Takes an instruction in plain words apart: what is meant, of which kind, which of several, where, what value.

Plain words can often be read in more than one way ("type Fish in batter in the dish field"), so a text has several
readings; which of them the page bears out is for ``matching`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from workers.browser.instruction_words import STOP, words
from workers.browser.targets import Wants

_QUOTED = r"(?:\"[^\"]+\"|“[^”]+”|„[^“”]+[“”]|«[^»]+»|(?<!\w)'[^']+'(?!\w)|`[^`]+`)"
_QUOTES = "\"“”„«»'`"
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "last": -1, "topmost": 1, "bottommost": -1, "1st": 1, "2nd": 2, "3rd": 3,
}  # fmt: skip
KINDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (frozenset(exact.split()), frozenset(near.split()))
    for names, exact, near in (
        ("button btn", "button", "link clickable menuitem tab switch"),
        ("link hyperlink", "link", "button clickable menuitem tab"),
        (
            "field box input textbox textfield textarea bar",
            "textbox searchbox spinbutton combobox date file listbox",
            "slider",
        ),
        ("checkbox tickbox", "checkbox", "switch menuitemcheckbox"),
        ("toggle switch", "switch", "checkbox button"),
        ("radio", "radio", "option"),
        ("dropdown select picker selector list menu", "combobox listbox", "button date spinbutton"),
        ("tab", "tab", "link button"),
        ("option choice", "radio option menuitem menuitemradio checkbox", "button link"),
        ("icon image picture photo", "img", "button link clickable"),
        ("heading headline", "heading", ""),
        ("slider", "slider", "spinbutton"),
        ("entry row cell node", "treeitem listitem cell gridcell option menuitem", "link button clickable"),
    )
    for name in names.split()
}
"""What people call kinds of elements: the roles that are meant, and those that are often taken for them."""
_PLACES = r"in|inside|within|under|below|above|of|for|from|next to|beside|near|on|at|by"
_NOUNS = (
    "section|area|panel|card|box|row|dialog|popup|pop-up|modal|form|group|table|list|menu|block|column|part"
    "|fieldset|window|tile|line|entry|heading|headline"
)
_PLACE_NOUN = re.compile(
    rf"\s+(?:{_NOUNS})\s*$|^(?:the\s+)?(?:{_NOUNS})\s+(?:of|for|with|by|from|named|called|about|containing)\s+",
    re.IGNORECASE,
)

_VERBS: dict[str, str] = {
    "click": r"(?:double[- ]?)?click(?:\s+on)?|press(?:\s+on)?|tap(?:\s+on)?|hit|push|select|choose|pick|open|follow"
    r"|go(?:\s+to)?|switch\s+to|navigate\s+to|visit|use|activate|show|view|expand|get|sort\s+by",
    "type": r"type(?:\s+in(?:to)?)?|enter|fill(?:\s+(?:in|out))?|write(?:\s+in(?:to)?)?|put|input|insert|set|clear",
    "select": r"select|choose|pick|set|use",
    "check": r"check|tick|untick|uncheck|enable|disable|activate|deactivate|turn\s+on|turn\s+off|switch\s+on"
    r"|switch\s+off|choose|pick|toggle|select|deselect|clear|mark",
    "hover": r"hover(?:\s+(?:over|on))?|point\s+(?:at|to)|move\s+(?:the\s+mouse\s+)?(?:over|to)",
    "upload": r"upload|attach|add|choose",
    "read": r"read|get|extract|take|find|copy",
    "scroll": r"scroll(?:\s+down|\s+up)?(?:\s+(?:in)?to)?|show",
}
_KEPT = re.compile(
    r"(?:open|show|view|activate|expand|clear|select|add|enable|disable|find|use|follow|get|sort)\b", re.IGNORECASE
)
"""Verbs that are as often the name of what is meant: "open file", "select all"."""
_WITHOUT_VERB = 0.92
_OFF = re.compile(
    r"^\s*(?:uncheck|untick|disable|deactivate|deselect|clear|(?:turn|switch)\s+off\b|(?:turn|switch)\b.*\boff\s*$)",
    re.IGNORECASE,
)
_TOGGLE = re.compile(r"^\s*toggle\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read an instruction. ``quoted`` when the name was given between quotes: then it is exact."""

    words: tuple[str, ...]
    kind: str | None = None
    ordinal: int | None = None
    """1 for the first, -1 for the last."""
    place: tuple[str, ...] = ()
    quoted: bool = False
    value: str | None = None
    weight: float = 1.0
    """Less than 1 when a word was left out that may be a part of the name."""


def readings(instruction: str, wants: Wants) -> list[Reading]:
    """Every way to read it, the likeliest first."""
    text = re.sub(r"\s+", " ", instruction).strip().rstrip(".!;,")
    text = re.sub(r"^(?:please|then|now|and then|and|next,|finally,?)\s+", "", text, flags=re.IGNORECASE)
    found: dict[Reading, None] = {}
    for target, value, weight in _values(text, wants):
        for reading in _targets(target, value):
            found.setdefault(replace(reading, weight=weight))
    return list(found)


def _values(text: str, wants: Wants) -> Iterator[tuple[str, str | None, float]]:
    """(words of the target, the value, the weight) for each way to tell them apart."""
    if wants == "check":
        yield _without_on_off(text), None if _TOGGLE.match(text) else ("false" if _OFF.match(text) else "true"), 1.0
        return
    if wants in {"type", "select", "upload"}:
        yield from ((target, value, 1.0) for target, value in _with_value(text, wants))
    yield from ((target, None, weight) for target, weight in _without_verb(text, wants))


def _with_value(text: str, wants: Wants) -> Iterator[tuple[str, str]]:
    verb = _VERBS[wants]
    links = {"type": "into|in to|in|as|for|to|on", "select": "from|in|as|for|on|of|at|under"}.get(
        wants, "to|into|as|in|for"
    )
    # The value between quotes leaves no doubt where it ends.
    if match := re.match(rf"(?i)^(?:{verb})\s+({_QUOTED})(?:\s+(?:{links})\s+(.+))?$", text):
        yield match[2] or "", match[1].strip(_QUOTES)
        return
    if match := re.match(rf"(?i)^(?:{verb}|change|update)\s+(.+?)\s+(?:with|to|as)\s+({_QUOTED})$", text):
        yield match[1], match[2].strip(_QUOTES)
        return
    if match := re.match(rf"(?i)^(?:{verb})\s+(.+)$", text):
        rest = match[1]
        if not re.match(r"(?i)^(?:set|fill|clear)\b", text):
            for link in re.finditer(rf"(?i)\s+(?:{links})\s+", rest):
                yield rest[link.end() :], rest[: link.start()]
        if wants in {"select", "upload"} and not re.match(r"(?i)^set\b", text):
            yield "", re.sub(r"(?i)^the\s+|\s+option$", "", rest)
    if match := re.match(r"(?i)^(?:set|change|update|fill in|fill out|fill|select|choose)\s+(.+)$", text):
        rest = match[1]
        for link in re.finditer(r"(?i)\s+(?:with|to|as|=)\s+", rest):
            yield rest[: link.start()], rest[link.end() :]


def _without_verb(text: str, wants: Wants) -> Iterator[tuple[str, float]]:
    match = re.match(rf"(?i)^(?:{_VERBS[wants]})\s+(?=\S)", text)
    if match is None:
        yield text, 1.0
        return
    kept = _KEPT.match(text) is not None
    yield text[match.end() :], _WITHOUT_VERB if kept else 1.0
    if kept:
        yield text, 1.0


def _without_on_off(text: str) -> str:
    match = re.match(rf"(?i)^(?:{_VERBS['check']}|turn|switch)\s+(?=\S)", text)
    rest = text[match.end() :] if match else text
    return re.sub(r"(?i)\s+(?:on|off)$", "", rest) if re.match(r"(?i)^(?:turn|switch)\b", text) else rest


def _targets(text: str, value: str | None) -> Iterator[Reading]:
    if match := re.search(_QUOTED, text):
        yield from _quoted(text, match, value)
        return
    yield from _described(text, (), value)
    for link in re.finditer(rf"(?i)\s+(?:{_PLACES})\s+", text):
        place = _place_words(text[link.end() :])
        if place:
            yield from _described(text[: link.start()], place, value)


def _quoted(text: str, match: re.Match[str], value: str | None) -> Iterator[Reading]:
    """The name stands between quotes; around it may stand which one, of what kind, and where."""
    before, after = text[: match.start()], text[match.end() :]
    name = words(match[0].strip(_QUOTES))
    link = re.match(rf"(?i)^(.*?)\s*\b(?:{_PLACES})\s+(.+)$", after)
    kind_text, place = (link[1], _place_words(link[2])) if link else (after, ())
    described = words(f"{before} {kind_text}")
    kind = next((word for word in reversed(described) if word in KINDS), None)
    ordinal = next((_ORDINALS[word] for word in described if word in _ORDINALS), None)
    yield Reading(name, kind, ordinal, place, True, value)


def _place_words(text: str) -> tuple[str, ...]:
    text = text.strip(_QUOTES + " ")
    bare = _PLACE_NOUN.sub("", text)
    return tuple(word for word in words(bare if words(bare) else text) if word not in STOP)


def _described(text: str, place: tuple[str, ...], value: str | None) -> Iterator[Reading]:
    found = tuple(word for word in words(text) if word not in STOP)
    if not found and value is None and not place:
        return
    kind = None
    bare = found
    if bare and bare[-1] in KINDS:
        kind, bare = bare[-1], bare[:-1]
        if bare and bare[-1:] == ("radio",):  # "the radio button"
            kind, bare = "radio", bare[:-1]
        if bare and kind in {"box", "field", "menu", "list"} and bare[-1] in {"check", "drop", "down", "text", "input"}:
            kind = {"check": "checkbox", "down": "dropdown", "drop": "dropdown"}.get(bare[-1], kind)
            bare = tuple(word for word in bare[:-1] if word != "drop")
        yield from _ordered(bare, kind, place, value)
        if not bare:
            yield Reading(found, None, None, place, False, value)
        return
    yield from _ordered(bare, kind, place, value)


def _ordered(found: tuple[str, ...], kind: str | None, place: tuple[str, ...], value: str | None) -> Iterator[Reading]:
    """With an order word as a part of the name ("first name"), and as the choice among several ("the first name")."""
    if found or kind:
        yield Reading(found, kind, None, place, False, value)
    elif value is not None:
        yield Reading((), None, None, place, False, value)
    for word in found[:1]:
        if word in _ORDINALS:
            yield Reading(found[1:], kind, _ORDINALS[word], place, False, value)
