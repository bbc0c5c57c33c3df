"""What of a page a person could name: its elements with roles, names and where they stand, over all its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import ElementHandle, Error, Frame, JSHandle, Page

_OUTLINE = (Path(__file__).parent / "static" / "outline.js").read_text()
_MOST_ELEMENTS = 1500
_MOST_FRAMES = 20
_LONGEST_LINE = 300
_ENTER = " >> internal:control=enter-frame >> "
WRITABLE = frozenset({"textbox", "searchbox", "spinbutton", "combobox", "date", "slider"})
CLICKABLE = WRITABLE | {
    *("button", "link", "clickable", "checkbox", "radio", "switch", "tab", "menuitem", "menuitemcheckbox"),
    *("menuitemradio", "option", "treeitem", "gridcell", "listbox", "file"),
}


@dataclass(frozen=True, slots=True)
class Element:
    """One element, as a person would describe it. ``index`` counts over the whole page, ``frame`` names its frame."""

    index: int
    role: str
    name: str
    frame: int = 0
    label: str = ""
    text: str = ""
    placeholder: str = ""
    title: str = ""
    test_id: str = ""
    inner_name: str = ""
    value: str = ""
    tag: str = ""
    type: str = ""
    href: str = ""
    checked: bool = False
    disabled: bool = False
    readonly: bool = False
    options: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    """Names of what it stands in, outermost first: landmarks, fieldsets, tables, dialogs."""
    headings: tuple[str, ...] = ()
    """The headings above it, highest first."""
    around: str = ""
    """The words of its row or card: of the largest box in which it is the only one of its kind."""
    selector: str = ""
    in_view: bool = True

    @property
    def writable(self) -> bool:
        """Whether text can be put into it."""
        return self.role in WRITABLE and self.tag != "select" and not self.disabled and not self.readonly

    @property
    def place(self) -> str:
        """Where it stands, for people: its regions and the heading above it."""
        return " > ".join([*self.regions, *self.headings[-1:]])

    def line(self) -> str:
        """One line of an outline."""
        parts = [f"[{self.index}] {self.role}", repr(self.name or self.text)]
        parts += [f"title={self.title!r}"] if self.title and self.title != self.name else []
        parts += [f"value={self.value!r}"] if self.value and self.value != self.name else []
        parts += [f"placeholder={self.placeholder!r}"] if self.placeholder and self.placeholder != self.name else []
        parts += [f"options={list(self.options[:15])}"] if self.options else []
        parts += [word for word, set_ in (("checked", self.checked), ("disabled", self.disabled)) if set_]
        parts += [f"in {self.place!r}"] if self.place else []
        parts += [f"near {self.around[:80]!r}"] if self.around and self.around != self.name else []
        return " ".join(parts)[:_LONGEST_LINE]


@dataclass(slots=True)
class _FramePart:
    frame: Frame
    handle: JSHandle
    selector: str | None
    """CSS selectors of the frame elements that lead to it, outermost first; None for the page itself."""


@dataclass(slots=True)
class Snapshot:
    """The elements of a page at one moment, and the way back to them while it is open."""

    url: str
    title: str
    elements: list[Element] = field(default_factory=list)
    parts: list[_FramePart] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def frame_of(self, element: Element) -> Frame:
        """The frame that the element is in."""
        return self.parts[element.frame].frame

    def frame_selector(self, element: Element) -> str | None:
        """What leads to its frame; None for the page itself."""
        return self.parts[element.frame].selector

    def handle_of(self, element: Element) -> ElementHandle | None:
        """The element itself."""
        part = self.parts[element.frame]
        place = element.index - self.starts[element.frame]
        return part.handle.evaluate_handle("(found, place) => found.handles[place]", place).as_element()

    def find(self, handle: ElementHandle, frame: Frame) -> Element | None:
        """The description of an element of ``frame``; None if the snapshot has none of it."""
        for number, part in enumerate(self.parts):
            if part.frame == frame:
                place = part.handle.evaluate("(found, one) => found.handles.indexOf(one)", handle)
                return self.elements[self.starts[number] + place] if place >= 0 else None
        return None

    def outline(self, most: int = 400) -> str:
        """The page as numbered lines; what is in view comes first when not all fit."""
        chosen: Sequence[Element] = self.elements
        if len(chosen) > most:
            chosen = sorted(sorted(chosen, key=lambda item: not item.in_view)[:most], key=lambda item: item.index)
        return "\n".join(item.line() for item in chosen)


@contextmanager
def snapshot(page: Page, *, reading: bool = False) -> Iterator[Snapshot]:
    """Look at the page. ``reading`` includes what can only be read: headings, cells, paragraphs."""
    taken = Snapshot(page.url, _title(page))
    try:
        for frame in page.frames[:_MOST_FRAMES]:
            _add(taken, page, frame, reading)
        yield taken
    finally:
        for part in taken.parts:
            try:
                part.handle.dispose()
            except Error:
                continue  # the frame is gone, and the handle with it


def _title(page: Page) -> str:
    try:
        return page.title()[:200]
    except Error:
        return ""


def _add(taken: Snapshot, page: Page, frame: Frame, reading: bool) -> None:
    try:
        selector, label = _way_to(page, frame)
        handle = frame.evaluate_handle(_OUTLINE, {"most": _MOST_ELEMENTS - len(taken.elements), "reading": reading})
        found = handle.evaluate("(found) => found.elements")
    except Error:
        return  # it went away while we looked, or nobody sees it
    taken.parts.append(_FramePart(frame, handle, selector))
    start, number = len(taken.elements), len(taken.parts) - 1
    taken.starts.append(start)
    for place, item in enumerate(found if isinstance(found, list) else []):
        taken.elements.append(_element(item, start + place, number, label))


def _way_to(page: Page, frame: Frame) -> tuple[str | None, str]:
    """The selectors that lead to a frame, and what it is called."""
    if frame == page.main_frame:
        return None, ""
    steps: list[str] = []
    label = ""
    at: Frame | None = frame
    while at is not None and at != page.main_frame:
        element = at.frame_element()
        if not element.is_visible():
            raise Error("a hidden frame")
        described = element.evaluate(_FRAME)
        steps.insert(0, described["selector"])
        label = label or described["label"]
        at = at.parent_frame
    return _ENTER.join(steps), label


_FRAME = """(el) => {
  const all = [...document.querySelectorAll("iframe, frame")];
  const by = (name) => {
    const value = el.getAttribute(name);
    const alone = value && all.filter((other) => other.getAttribute(name) === value).length === 1;
    return alone ? `${el.localName}[${name}=${JSON.stringify(value)}]` : "";
  };
  const own = el.id ? `#${CSS.escape(el.id)}` : by("name") || by("title") || by("src");
  const selector = own || `:nth-match(iframe, ${all.indexOf(el) + 1})`;
  return { selector, label: (el.title || el.getAttribute("aria-label") || el.name || "").slice(0, 160) };
}"""


def _element(item: dict[str, Any], index: int, frame: int, frame_label: str) -> Element:
    made = Element(
        **item | {name: tuple(map(str, item[name])) for name in ("options", "regions", "headings")},
        index=index,
        frame=frame,
    )
    return replace(made, regions=(f"{frame_label} frame", *made.regions)) if frame_label else made
