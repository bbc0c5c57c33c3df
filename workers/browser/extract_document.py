"""A page as data: the copy of its document that everything is taken from.

No script of the page runs any more once it is made, and no value of it is more than text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urljoin, urlsplit

HIDDEN, BLOCK, CELL = 1, 2, 4
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
LINKS = frozenset(("href", "src", "action", "formaction", "poster", "cite", "data-src", "data-href"))
"""Attributes that hold a link."""
_SPACE = re.compile(r"\s+")


@dataclass(slots=True, eq=False)
class Node:
    """An element. ``children`` are elements and texts in order; a shadow root is a child named ``#shadow``."""

    index: int
    tag: str
    attributes: dict[str, str]
    parent: Node | None
    hidden: bool
    block: bool
    cell: bool
    children: list[Node | str] = field(default_factory=list)
    size: int = 0
    """How many elements and texts are in it, at any depth."""
    _steps: dict[int, str] | None = None

    @property
    def elements(self) -> list[Node]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Node)]

    @property
    def classes(self) -> list[str]:
        """The class names, in order."""
        return self.attributes.get("class", "").split()

    def step_to(self, child: Node) -> str:
        """The CSS step from this element to a child: its tag, and which one of that tag it is if there are several."""
        if self._steps is None:
            counts = Counter(one.tag for one in self.elements)
            seen: Counter[str] = Counter()
            self._steps = {}
            for one in self.elements:
                seen[one.tag] += 1
                several = counts[one.tag] > 1
                self._steps[one.index] = f"{one.tag}:nth-of-type({seen[one.tag]})" if several else one.tag
        return self._steps[child.index]

    def walk(self) -> Iterator[Node]:
        """This element and all below it, in the order of the document."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.elements))

    def ancestors(self) -> Iterator[Node]:
        """The elements around it, from the inside out."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def text(self) -> str:
        """What a person reads of it, white space collapsed; all of its text when it is not displayed itself."""
        return _SPACE.sub(" ", self.raw_text()).strip()

    def lines(self) -> str:
        """The same with line breaks where blocks end."""
        lines = (_SPACE.sub(" ", line).strip() for line in self.raw_text().split("\n"))
        return "\n".join(line for line in lines if line)

    def raw_text(self, without: Collection[Node] = ()) -> str:
        """The text with a line break around each block; that of some elements in it may be left out."""
        parts: list[str] = []
        _collect(self, parts, self.hidden, without)
        return "".join(parts)

    def html(self, absolute: Callable[[str], str], *, hidden: bool = False) -> str:
        """The HTML inside of it, its links made absolute; what is not visible only if asked for."""
        parts: list[str] = []
        for child in self.children:
            _serialize(child, parts, hidden, absolute)
        return "".join(parts)

    def outer_html(self, absolute: Callable[[str], str], *, hidden: bool = False) -> str:
        """The HTML of it and inside of it."""
        parts: list[str] = []
        _serialize(self, parts, hidden, absolute)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Document:
    """A copy of a page's document, with what the queries matched."""

    url: str
    base: str
    title: str
    root: Node
    matches: Mapping[str, Mapping[int, Sequence[Node]]]
    """For each query, what it found in each match of ``within`` by that one's index; at -1 if it had none."""
    cut: Sequence[str]
    """What limits left out: ``nodes``, ``characters``, ``matches``, ``depth``."""
    made: dict[str, Any] = field(default_factory=dict, compare=False)
    """What was made of it already and costs too much to be made again, by name."""

    def absolute(self, link: str) -> str:
        """A link as a whole URL; as it stands when it cannot be one."""
        try:
            whole = urljoin(self.base, link.strip())
            urlsplit(whole)
        except ValueError:
            return link
        return whole

    def found(self, name: str, within: Node | None = None) -> Sequence[Node]:
        """The matches of a query, of one that has ``within`` those in this node."""
        return self.matches.get(name, {}).get(-1 if within is None else within.index, [])


def _collect(node: Node, parts: list[str], hidden_too: bool, without: Collection[Node]) -> None:
    breaks = "\n" if node.block else "\t" if node.cell else ""
    parts.append(breaks)
    shown = hidden_too or not node.hidden
    if node.tag == "br":
        parts.append("\n")
    elif node.tag in ("input", "textarea", "select") and node.attributes.get("type") != "hidden":
        parts.append(node.attributes.get("value", "") if shown else "")
        return
    for child in node.children:
        if isinstance(child, str):
            parts.append(child if shown else "")
        elif child.tag != "script" and child not in without:
            _collect(child, parts, hidden_too, without)
    parts.append(breaks)


def _serialize(node: Node | str, parts: list[str], hidden: bool, absolute: Callable[[str], str]) -> None:
    if isinstance(node, str):
        parts.append(escape(node, quote=False))
        return
    shown = hidden or not node.hidden
    wrapped = shown and node.tag != "#shadow"
    if wrapped:
        pairs = (
            f' {name}="{escape(absolute(value) if name in LINKS else value)}"'
            for name, value in node.attributes.items()
        )
        parts.append(f"<{node.tag}{''.join(pairs)}>")
    if node.tag in _VOID:
        return
    for child in node.children:
        if isinstance(child, Node):
            _serialize(child, parts, hidden, absolute)
        elif shown:
            # JSON-LD: in HTML its text is not escaped, and must not end the element.
            parts.append(child.replace("</", "<\\/") if node.tag == "script" else escape(child, quote=False))
    if wrapped:
        parts.append(f"</{node.tag}>")
