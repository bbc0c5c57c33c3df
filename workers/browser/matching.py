"""Finds the one element that plain words mean, by its names, its kind and where it stands; refuses to guess.

Each element gets a score from 0 to 1 for each reading of the instruction: how many of the words are its names', how
many those of the row, card, region or heading that it stands in, and how much its names say beside. The best one is
taken only if it is good enough and the next best is clearly worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workers.browser.instruction_grammar import KINDS, Reading, readings
from workers.browser.instruction_words import FAINT, STOP, alike, meaning, telling, words
from workers.browser.snapshot import CLICKABLE, WRITABLE, Element
from workers.browser.targets import Wants

GOOD = 0.6
"""Below this nothing fits."""
CLEAR = 0.1
"""The next best must be worse by this much."""
_SHOWN = 8
_MEANT = 0.94
"""For words of the same meaning instead of the same words."""
_WITHIN = 0.9
"""For a word that is the name of the region or heading that the element stands in, and not its own."""
_AROUND = 0.6
"""For a word that stands in the element's row or card."""
_BESIDE = 0.45
"""What names lose that say other things only."""
_ROLES: dict[Wants, frozenset[str]] = {
    "click": CLICKABLE,
    "type": frozenset({"textbox", "searchbox", "spinbutton", "combobox", "date", "slider"}),
    "select": frozenset({"combobox", "listbox"}),
    "check": frozenset({"checkbox", "radio", "switch", "menuitemcheckbox", "menuitemradio", "button"}),
    "upload": frozenset({"file", "button"}),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An element, how well it fits, and by which reading."""

    element: Element
    score: float
    reading: Reading
    exact: bool = False
    """Whether its name is what was said, word for word."""


@dataclass(frozen=True, slots=True)
class Match:
    """What came of matching: ``chosen`` is None when it is unclear, and ``reason`` then says why."""

    chosen: Candidate | None
    candidates: list[Candidate]
    reason: str = ""
    nothing: bool = False
    """Whether nothing on the page fits: a page that is still loading may bring it."""


def match(elements: Sequence[Element], instruction: str, wants: Wants, *, good: float = GOOD) -> Match:
    """The element that the instruction means, or why that is unclear."""
    pool = [item for item in elements if _can(item, wants)]
    best: dict[int, Candidate] = {}
    for reading in readings(instruction, wants):
        for candidate in _rate(pool, reading, wants):
            known = best.get(candidate.element.index)
            if known is None or candidate.score > known.score + 0.001:
                best[candidate.element.index] = candidate
    ranked = sorted(best.values(), key=lambda item: (-item.score, item.element.index))
    shown = ranked[:_SHOWN]
    if not ranked or ranked[0].score < good:
        return Match(None, shown, "nothing on the page fits it well enough", nothing=True)
    rivals = [item for item in ranked[1:] if _rivals(ranked[0], item)]
    if rivals:
        return Match(None, [ranked[0], *rivals][:_SHOWN], f"{1 + len(rivals)} elements fit it about equally well")
    return Match(ranked[0], shown)


def _can(element: Element, wants: Wants) -> bool:
    roles = _ROLES.get(wants)
    if roles is not None and element.role not in roles:
        return False
    if wants == "type":
        return element.writable
    if wants == "select":
        return element.tag == "select"
    return True


def _rivals(best: Candidate, other: Candidate) -> bool:
    """Whether the other one might as well have been meant."""
    if best.score - other.score >= CLEAR:
        return False
    if best.exact and not other.exact and best.score > other.score:
        return False
    one, two = best.element, other.element
    return not (one.role == two.role == "link" and one.href and one.href == two.href)  # two ways to one place


def _rate(pool: Sequence[Element], reading: Reading, wants: Wants) -> Iterable[Candidate]:
    rated = [Candidate(item, *_score(item, reading, wants)) for item in pool]
    rated = [Candidate(item.element, item.score, reading, item.exact) for item in rated if item.score > 0.15]
    if reading.ordinal is None:
        return _lone(rated, reading)
    return _chosen_in_order(rated, reading.ordinal)


def _lone(rated: list[Candidate], reading: Reading) -> list[Candidate]:
    """Where no word names it, the only one of its kind is meant; several are all the same to us."""
    return rated if reading.words else [item for item in rated if item.score >= GOOD]


def _chosen_in_order(rated: list[Candidate], ordinal: int) -> list[Candidate]:
    """The n-th of those that fit about equally well, in the order of the page."""
    if not rated:
        return []
    best = max(item.score for item in rated)
    alike_ones = [item for item in rated if item.score >= max(best - CLEAR, GOOD)]
    place = ordinal - 1 if ordinal > 0 else len(alike_ones) + ordinal
    if len(alike_ones) < 2 or not 0 <= place < len(alike_ones):
        return []
    return [alike_ones[place]]


def _score(element: Element, reading: Reading, wants: Wants) -> tuple[float, Reading, bool]:
    exact = False
    if reading.words:
        score, exact = _named(element, reading)
    else:
        score = _nameless(element, reading) if wants != "upload" or element.role == "file" else 0.0
    score *= reading.weight * _kind_factor(element, reading)
    if wants == "click" and element.role in WRITABLE and reading.kind is None:
        score *= 0.9  # fields are typed into
    if reading.place:
        score *= _place_factor(element, reading.place)
    if wants == "select" and reading.value is not None:
        score *= _option_factor(element, reading)
    return min(score, 1.0), reading, exact


def _nameless(element: Element, reading: Reading) -> float:
    """For words that say no more than a kind ("the heading"), or only a value ("type hello")."""
    if reading.kind in {"heading", "headline"} and len(element.headings) > 1:
        return 0.65  # the one at the top is meant
    if reading.kind and element.role not in KINDS[reading.kind][0]:
        return 0.0  # what is often taken for one needs a name to be told by
    return 0.8 if reading.kind or reading.value is not None else 0.0


def _named(element: Element, reading: Reading) -> tuple[float, bool]:
    """How well the words fit the element's names; the second says whether they are one of them, word for word."""
    best, exact = 0.0, False
    for text, worth in _names(element):
        said = words(text)
        if not said:
            continue
        if reading.quoted:
            score = 1.0 if said == reading.words else 0.65 if _within(reading.words, said) else 0.0
        else:
            score = _likeness(reading.words, said, element)
        best = max(best, score * worth)
        exact = exact or (said == reading.words and worth == 1.0)
    return best, exact


def _names(element: Element) -> Iterable[tuple[str, float]]:
    names = {element.name: 1.0, element.label: 1.0, element.text[:100]: 1.0}
    for text in (element.placeholder, element.title):
        names.setdefault(text, 0.96)
    for text in (element.test_id, *element.inner_name.split(" ")):
        names.setdefault(text, 0.8)
    if element.role in {"button", "radio", "option"}:
        names.setdefault(element.value, 0.85)
    if element.type in {"email", "password", "search", "tel", "url", "date", "file"}:
        names.setdefault({"tel": "phone"}.get(element.type, element.type), 0.85)
    return [(text, worth) for text, worth in names.items() if text]


def _likeness(asked: tuple[str, ...], said: tuple[str, ...], element: Element) -> float:
    if asked == said:
        return 1.0
    if telling(asked) == telling(said):
        return 0.98
    plain = _cover(telling(asked), telling(said), element, meant=False)
    meant = _cover(telling(meaning(asked)), telling(meaning(said)), element, meant=True) * _MEANT
    return max(plain, meant)


def _cover(asked: tuple[str, ...], said: tuple[str, ...], element: Element, *, meant: bool) -> float:
    """How much of what was asked the names say, or else what the element stands in, less what they say beside."""
    if asked == said:
        return 1.0
    within, around = _places(element, meant)
    if not any(word.isdecimal() for word in asked):
        said = tuple(word for word in said if not word.isdecimal()) or said  # counts: "Cart (2)"
        if asked == said:
            return 0.99
    total = found = in_name = 0.0
    for word in asked:
        weight = 0.3 if word in FAINT else 1.0
        total += weight
        near = max((alike(word, other) for other in said), default=0.0)
        in_name += weight * near
        found += weight * max(near, _WITHIN if word in within else _AROUND if word in around else 0.0)
    if not total or in_name < 0.3:
        return 0.0
    beside = sum(1 for other in said if not any(alike(word, other) for word in asked)) / len(said)
    return found / total * (0.97 - _BESIDE * beside)


def _places(element: Element, meant: bool) -> tuple[frozenset[str], frozenset[str]]:
    """The words of what it stands in, and those of its row or card."""
    within = words(" ".join((*element.regions, *element.headings[-1:])))
    around = words(" ".join((element.around, *element.headings[:-1])))
    if meant:
        return frozenset(within + meaning(within)), frozenset(around + meaning(around))
    return frozenset(within), frozenset(around)


def _kind_factor(element: Element, reading: Reading) -> float:
    if reading.kind is None:
        return 1.0
    exact, near = KINDS[reading.kind]
    if element.role in exact:
        return 1.0
    return 0.86 if element.role in near else 0.4


def _place_factor(element: Element, place: tuple[str, ...]) -> float:
    """1 where a region or heading is called so, nearly 1 where the words stand in the same row or card."""
    asked = meaning(place)
    for name in (*element.regions, *element.headings[-1:]):
        if _within(asked, meaning(words(name))):
            return 1.0
    if _within(asked, meaning(words(element.around))):
        return 0.97
    if any(_within(asked, meaning(words(name))) for name in element.headings):
        return 0.9
    return 0.3


def _within(asked: Sequence[str], said: Sequence[str]) -> bool:
    return all(any(alike(word, other) for other in said) for word in asked if word not in STOP)


def _option_factor(element: Element, reading: Reading) -> float:
    return 1.25 if option_of(element, reading.value or "") is not None else 0.4


def option_of(element: Element, value: str) -> str | None:
    """The option of a choice that a value means: its text word for word, or the only one that begins with it."""
    asked = words(value)
    same = [option for option in element.options if words(option) == asked]
    if same:
        return same[0]
    beginning = [option for option in element.options if asked and words(option)[: len(asked)] == asked]
    return beginning[0] if len(beginning) == 1 else None
