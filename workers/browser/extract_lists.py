"""Repeated structures: cards, entries, results. Found by the shape of the document, not by its words.

Elements that stand side by side with the same tag, a class in common and much the same inside are a list; a place that
most of them have (a heading, an element of some class) is a slot of the list: a field of its records.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from workers.browser.extract_document import Document, Node

_NAME = re.compile(r"-?[A-Za-z_][\w-]*")
_NO_ITEMS = frozenset(
    ("tr", "td", "th", "tbody", "thead", "tfoot", "option", "br", "script", "style", "p", "span", "b", "i", "em",
     "strong", "label", "input", "button", "img", "source", "meta", "link", "col", "dt", "dd", "h1", "h2", "h3", "h4",
     "h5", "h6", "a")
)  # fmt: skip
_WITH_CLASS = frozenset(("p", "span", "a", "label"))
_AROUND = frozenset(("nav", "header", "footer", "aside"))
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LEAST_ALIKE = 0.5
_MOST_ITEMS_LOOKED_AT = 40
_MOST_NODES_OF_ITEM = 300
_MOST_LISTS = 60

_Index = dict[str, set[tuple[str, ...]]]
"""For each tag with a class or itemtype, the kinds of elements that such elements stand in."""


@dataclass
class Slot:
    """A place in the items of a list, by a selector that starts at the item."""

    selector: str
    tag: str
    nodes: list[Node] = field(default_factory=list)
    """What is there, for each item that has it."""
    names: list[str] = field(default_factory=list)
    """What the page calls it: itemprop, classes, labels; the best first."""
    around: list[str] = field(default_factory=list)
    """Names of the elements around it inside the item."""

    @cached_property
    def in_heading(self) -> bool:
        """Whether it stands in a heading."""
        return all(node.parent is not None and node.parent.tag in _HEADINGS for node in self.nodes)

    @cached_property
    def texts(self) -> list[str]:
        """What they say."""
        return [node.text() for node in self.nodes]


@dataclass
class Items:
    """A list: its items, and the selector that finds them."""

    selector: str
    nodes: list[Node]
    heading: str
    """The heading before it."""

    @cached_property
    def slots(self) -> list[Slot]:
        """The places that at least half of the items have."""
        return _slots(self.nodes[:_MOST_ITEMS_LOOKED_AT])

    @property
    def beside(self) -> bool:
        """Whether it stands in a menu, a header, a footer or an aside."""
        return any(
            node.tag in _AROUND or node.attributes.get("role") in ("navigation", "banner")
            for node in self.nodes[0].ancestors()
        )

    @cached_property
    def names(self) -> str:
        """What the page calls an item, and what is around all of them."""
        first = self.nodes[0]
        parent = first.parent
        said = [
            *first.classes,
            first.attributes.get("itemtype", "").rpartition("/")[2],
            first.attributes.get("aria-label", ""),
        ]
        said += (
            [*parent.classes, parent.attributes.get("id", ""), parent.attributes.get("aria-label", "")]
            if parent
            else []
        )
        return " ".join(said).replace("-", " ")

    def share(self, slot: Slot) -> float:
        """How many of the items have it, from 0 to 1."""
        return len(slot.nodes) / min(len(self.nodes), _MOST_ITEMS_LOOKED_AT)


def lists_of(document: Document) -> list[Items]:
    """The lists of the page that are displayed, in its order."""
    found: list[Items] = []
    by_selector: dict[str, Items] = {}
    index = _indexed(document)
    heading = ""
    for parent in document.root.walk():
        if parent.hidden:
            continue
        if parent.tag in _HEADINGS:
            heading = parent.text()
        for group in _groups(parent):
            selector = _items_selector(index, parent, group)
            if selector in by_selector:
                known = by_selector[selector]
                known.nodes += group
                continue
            by_selector[selector] = Items(selector, group, heading)
            found.append(by_selector[selector])
            if len(found) >= _MOST_LISTS:
                return found
    return [items for items in found if len(items.nodes) > 1 and items.slots]


def _groups(parent: Node) -> Iterator[list[Node]]:
    """Children that are alike. Those of one parent that differ by class only partly (``card``, ``card sale``) are."""
    by_kind: dict[tuple[str, str], list[Node]] = {}
    for child in parent.elements:
        if child.hidden or (child.tag in _NO_ITEMS and not (child.tag in _WITH_CLASS and child.classes)):
            continue
        kind = next((name for name in child.classes if _NAME.fullmatch(name)), "")
        by_kind.setdefault((child.tag, kind), []).append(child)
    for (_, kind), children in by_kind.items():
        if len(children) < (
            2 if kind or children[0].attributes.get("itemtype") or children[0].tag in ("li", "article") else 3
        ):
            continue
        shape = _shape(children[0])
        looked_at = children[:_MOST_ITEMS_LOOKED_AT]
        alike = sum(_likeness(shape, _shape(child)) >= _LEAST_ALIKE for child in looked_at)
        if alike > 0.7 * len(looked_at):
            yield children


def _likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def _shape(node: Node) -> set[str]:
    shape = set()
    for place, inner in enumerate(node.walk()):
        if place > _MOST_NODES_OF_ITEM:
            break
        if inner is not node and inner.parent is not None and not inner.hidden:
            above = inner.parent.tag if inner.parent is not node else ""
            shape.add(f"{above}>{inner.tag}")
    return shape


def _items_selector(index: _Index, parent: Node, group: Sequence[Node]) -> str:
    """By class or itemtype alone where only such parents have such children, else from the parent on."""
    first = group[0]
    shared = set(first.classes).intersection(*(node.classes for node in group[1:]))
    common = [name for name in first.classes if _NAME.fullmatch(name) and name in shared]
    kind = first.attributes.get("itemtype", "")
    if common:
        bare = first.tag + "".join(f".{name}" for name in common[:2])
        parents = index[f"{first.tag}.{common[0]}"]
    elif kind and '"' not in kind and "\\" not in kind:
        bare = f'{first.tag}[itemtype="{kind}"]'
        parents = index[f"{first.tag}[{kind}]"]
    else:
        return f"{path_of(parent)} > {first.tag}"
    return bare if len(parents) == 1 else f"{path_of(parent)} > {bare}"


def _indexed(document: Document) -> _Index:
    index: _Index = defaultdict(set)
    for parent in document.root.walk():
        kind = (parent.tag, *parent.classes)
        for node in parent.elements:
            for name in node.classes:
                index[f"{node.tag}.{name}"].add(kind)
            if "itemtype" in node.attributes:
                index[f"{node.tag}[{node.attributes['itemtype']}]"].add(kind)
    return index


def path_of(node: Node) -> str:
    """A CSS selector for one element: from the nearest id, or from the top, down to it."""
    steps: list[str] = []
    for part in (node, *node.ancestors()):
        if part.tag == "#shadow":
            break
        identifier = part.attributes.get("id", "")
        if _NAME.fullmatch(identifier) and not any(char.isdigit() for char in identifier):
            steps.append(f"#{identifier}")
            break
        steps.append(_step(part))
    return " > ".join(reversed(steps))


def _step(node: Node) -> str:
    return node.tag if node.parent is None or node.tag in ("html", "body") else node.parent.step_to(node)


def _slots(items: Sequence[Node]) -> list[Slot]:
    slots: dict[str, Slot] = {}
    for item in items:
        for selector, node in _places(item):
            slot = slots.setdefault(selector, Slot(selector, node.tag))
            slot.nodes.append(node)
            slot.names += [name for name in own_names(node) if name not in slot.names]
            slot.around += [name for name in _names_around(node, item) if name not in slot.around]
    return [slot for slot in slots.values() if len(slot.nodes) * 2 >= len(items)]


def _places(item: Node) -> Iterator[tuple[str, Node]]:
    """The elements of an item that say something themselves, each with a selector that finds it first."""
    inside = []
    for place, node in enumerate(item.walk()):
        if place > _MOST_NODES_OF_ITEM:
            break
        if not node.hidden and node.tag != "#shadow":
            inside.append(node)
    counts = Counter(key for node in inside if node is not item for key in _keys(node))
    for node in inside:
        if not _says_something(node):
            continue
        if node is item:
            yield ":scope", node
            continue
        key = next((key for key in _keys(node) if counts[key] == 1), None)
        yield key or _path_within(node, item), node


def _keys(node: Node) -> list[str]:
    """Ways to name an element by itself, the best first."""
    keys = []
    prop = node.attributes.get("itemprop", "")
    if _NAME.fullmatch(prop):
        keys.append(f'[itemprop="{prop}"]')
    keys += [f"{node.tag}.{name}" for name in node.classes if _NAME.fullmatch(name)]
    if node.tag in ("h1", "h2", "h3", "h4", "h5", "h6", "time", "img"):
        keys.append(node.tag)
    return keys


def _path_within(node: Node, item: Node) -> str:
    steps = []
    for part in (node, *node.ancestors()):
        if part is item:
            break
        if part.tag != "#shadow":
            steps.append(_step(part))
    return ":scope > " + " > ".join(reversed(steps))


def _says_something(node: Node) -> bool:
    if (
        node.tag in ("img", "time", "meta")
        or (node.tag == "a" and "href" in node.attributes)
        or "itemprop" in node.attributes
    ):
        return True
    return any(isinstance(child, str) and child.strip() for child in node.children)


def own_names(node: Node) -> list[str]:
    """What the page calls an element: its itemprop, its classes, its label, the text before its value."""
    held = node.attributes
    names = [
        held.get("itemprop", ""),
        *node.classes,
        held.get("aria-label", ""),
        held.get("data-field", ""),
        held.get("name", ""),
    ]
    return [re.sub(r"[-_]+", " ", name) for name in names if name and len(name) < 80]


def _names_around(node: Node, item: Node) -> Iterator[str]:
    for around in node.ancestors():
        if around is item:
            return
        yield from own_names(around)
