"""Writes down an element of a page so that a later run finds it again, and finds what was written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Error, Locator, Page

from workers.browser.instruction_words import STOP, meaning, words
from workers.browser.snapshot import Element, Snapshot
from workers.browser.targets import Target, find_in

_OWN_ROLES = frozenset({"file", "date", "clickable", "text", "definition", "term", "paragraph", "time"})
"""Roles that only our outline knows, or that elements have without a name."""


_SHORT_WAY = 2


def spec_of(page: Page, seen: Snapshot, element: Element) -> dict[str, Any]:
    """The fields of a Target that leads to this element and to no other: by role and name where that will do."""
    handle = seen.handle_of(element)
    frame = seen.frame_selector(element)
    where = {"frame": frame} if frame else {}
    alike: dict[str, Any] | None = None
    for ways in _ways(element):
        spec = {**ways, **where}
        place, count = _place(page, spec, handle)
        if place == 0 and count == 1:
            return spec
        if place is not None and alike is None:
            alike = {**spec, "nth": place}
    selector = {"selector": element.selector, **where}
    if alike is None:
        return selector
    # Its place among its like is shaken by any change of the page; a short way from something with an id is not.
    short = "#" in element.selector and element.selector.count(">") <= _SHORT_WAY
    return selector if short and _place(page, selector, handle) == (0, 1) else alike


def _ways(element: Element) -> Iterator[dict[str, Any]]:
    if element.test_id:
        yield {"test_id": element.test_id}
    if element.name and element.role not in _OWN_ROLES:
        yield {"role": element.role, "name": element.name, "exact": True}
    if element.label:
        yield {"label": element.label, "exact": True}
    if element.placeholder:
        yield {"placeholder": element.placeholder, "exact": True}


def _place(page: Page, spec: dict[str, Any], handle: Any) -> tuple[int | None, int]:
    """Which of the matches the element is, and how many there are."""
    try:
        found = locator_of(page, spec).evaluate_all("(all, one) => [all.indexOf(one), all.length]", handle)
    except Error:
        return None, 0
    place, count = int(found[0]), int(found[1])
    return (None if place < 0 else place), count


def description_of(element: Element, spec: dict[str, Any], said: str) -> dict[str, Any]:
    """What must still hold of the element that ``spec`` leads to, for a later run to take it for the one meant.

    Its role and name, and the words of the instruction that stand around it ("Delete" in the row of Bob); where only
    its place tells it from its like, all that stands around it.
    """
    told = words(said)
    kept: dict[str, Any] = {
        "role": element.role,
        "name": element.name,
        "words": sorted(({*told, *meaning(told)} - STOP) & _surroundings(element)),
    }
    if "nth" in spec or ":nth-" in spec.get("selector", ""):
        kept |= {"place": element.place, "around": element.around}
    return kept


def is_still(element: Element, kept: Any) -> bool:
    """Whether all that :func:`description_of` wrote down holds of the element."""
    if not isinstance(kept, dict) or not {"role", "name", "words"} <= kept.keys():
        return False
    same = all(getattr(element, field) == kept[field] for field in ("role", "name", "place", "around") if field in kept)
    return same and set(kept["words"]) <= _surroundings(element)


def _surroundings(element: Element) -> set[str]:
    """The words of the row or card, the regions and the headings that it stands in."""
    stands = words(" ".join((element.around, *element.regions, *element.headings)))
    return {*stands, *meaning(stands)}


def locator_of(page: Page, spec: dict[str, Any]) -> Locator:
    """The locator of fields of a Target."""
    return find_in(page, Target.model_validate(spec))


def element_at(page: Page, seen: Snapshot, spec: dict[str, Any]) -> Element | None:
    """The one element that fields of a Target lead to, as a snapshot describes it; None if it is not one."""
    try:
        locator = locator_of(page, spec)
        handles = locator.element_handles() if locator.count() == 1 else []
        return seen.find(handles[0], handles[0].owner_frame() or page.main_frame) if len(handles) == 1 else None
    except Error:
        return None
