"""Composes YAML into values and the places where they stand, within limits.

PyYAML scans and parses; it follows YAML 1.1 where scalars get their types (``no`` is false, ``12:30`` is 750), so types
are given here, by the core schema of YAML 1.2. Only what JSON can say is let through.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 2**20
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Keys, values, lists and objects, each as often as aliases repeat it."""
_SHOWN = 60

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_JSON_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_BASES = {"0o": 8, "0x": 16}
_TAGS = frozenset({"str", "int", "float", "bool", "null"})

Place = tuple[int, int]
"""Line and column, both counted from 1."""


class DocumentFault(Exception):
    """The text cannot be read. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(slots=True, eq=False)
class Node:
    """A value and where it starts. The sizes count what aliases repeat."""

    place: Place
    data: Any = None
    members: dict[str, tuple[Place, Node]] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    nodes: int = 1
    characters: int = 0
    height: int = 0
    open: bool = False


def place_of(text: str, position: int) -> Place:
    """Line and column of a character."""
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def integer(digits: str, base: int = 10) -> int:
    """A number of at most 64 bits; ValueError says what else to do."""
    # Python refuses to read very long ones at all.
    value = int(digits, base) if len(digits) <= 70 else 2**64
    if not -(2**63) <= value < 2**64:
        raise ValueError("holds an integer of more than 64 bits; put it in quotes")
    return value


def _place(mark: Any) -> Place:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def compose(text: str, *, is_json: bool) -> Node:
    """The root of a text. ``is_json`` refuses JSON's NaN, which YAML takes for text. Raises DocumentFault."""
    composer = _Composer(is_json)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentFault(f"is not YAML: {error.problem}", *_place(mark)) from None
    except yaml.reader.ReaderError as error:
        raise DocumentFault(f"is not YAML: {error.reason}", *place_of(text, error.position)) from None
    if composer.root is None:
        raise DocumentFault("is empty", 1, 1)
    return composer.root


@dataclass(slots=True)
class _Frame:
    """An open list or object, and the key that waits for its value."""

    node: Node
    is_object: bool
    anchor: str | None
    key: tuple[str, Place] | None = None


class _Composer:
    """Builds values from the parser's events, and stops as soon as a limit is passed."""

    def __init__(self, is_json: bool) -> None:
        self.root: Node | None = None
        self._is_json = is_json
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._made = 0

    def take(self, event: yaml.Event) -> None:
        """Add what an event says; raises DocumentFault where it passes a limit."""
        place = _place(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            node = Node(place, _scalar(event, place, self._is_json), characters=len(event.value))
            self._name(event.anchor, node)
            self._add(node)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._target(event.anchor, place))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event, place)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise DocumentFault("holds a second document; give one", *place)

    def _open(self, event: Any, place: Place) -> None:
        is_object = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_object else "seq")):
            raise DocumentFault(f"the tag {event.tag[:_SHOWN]} is not part of JSON; leave it out", *place)
        if len(self._frames) > MAX_DEPTH:
            raise DocumentFault(f"is nested deeper than {MAX_DEPTH} levels", *place)
        node = Node(place, {} if is_object else [], open=True)
        self._name(event.anchor, node)
        self._frames.append(_Frame(node, is_object, event.anchor))

    def _close(self) -> None:
        node = self._frames.pop().node
        node.open = False
        self._add(node)

    def _name(self, anchor: str | None, node: Node) -> None:
        self._made += 1
        if self._made > MAX_NODES:
            raise DocumentFault(f"has more than {MAX_NODES} parts", *node.place)
        if anchor is not None:
            self._anchors[anchor] = node

    def _target(self, anchor: Any, place: Place) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            raise DocumentFault(f"there is no anchor &{anchor[:_SHOWN]} before this alias", *place)
        if node.open:
            raise DocumentFault(f"the alias *{anchor[:_SHOWN]} stands inside of what it repeats", *place)
        if len(self._frames) + node.height > MAX_DEPTH + 1:
            raise DocumentFault(f"is nested deeper than {MAX_DEPTH} levels by the alias *{anchor[:_SHOWN]}", *place)
        return Node(place, node.data, node.members, node.items, node.nodes, node.characters, node.height)

    def _add(self, node: Node) -> None:
        if not self._frames:
            self.root = node
            return
        frame = self._frames[-1]
        if frame.is_object and frame.key is None:
            frame.key = (_key(node, frame.node), node.place)
        elif frame.key is not None:
            name, place = frame.key
            frame.key = None
            frame.node.data[name] = node.data
            frame.node.members[name] = (place, node)
        else:
            frame.node.data.append(node.data)
            frame.node.items.append(node)
        self._grow(frame.node, node)

    def _grow(self, parent: Node, child: Node) -> None:
        parent.nodes += child.nodes
        parent.characters += child.characters
        parent.height = max(parent.height, child.height + 1)
        if parent.nodes > MAX_NODES or parent.characters > MAX_BYTES:
            text = f"has more than {MAX_NODES} parts or {MAX_BYTES} characters once its aliases are resolved"
            raise DocumentFault(text, *child.place)


def _key(node: Node, parent: Node) -> str:
    key = node.data
    if not isinstance(key, str):
        kind = "a list or an object" if isinstance(key, list | dict) else f"{json.dumps(key)}, not text"
        raise DocumentFault(f"the key is {kind}; keys are text, in quotes where they look otherwise", *node.place)
    if key in parent.members:
        line = parent.members[key][0][0]
        raise DocumentFault(f"the key {key[:_SHOWN]!r} stands here twice; first in line {line}", *node.place)
    return key


def _scalar(event: Any, place: Place, is_json: bool) -> Any:
    tag = None if event.tag in (None, "!") else event.tag.removeprefix(_TAG)
    if tag is not None and tag not in _TAGS:
        raise DocumentFault(f"the tag {event.tag[:_SHOWN]} is not part of JSON; leave it out", *place)
    text: str = event.value
    if tag == "str" or (tag is None and not event.implicit[0]):
        return text
    if _NOT_FINITE.fullmatch(text) or (is_json and text in _JSON_NOT_FINITE):
        raise DocumentFault(f"{text} is a number that JSON has no word for; put it in quotes for text", *place)
    if text == "<<":
        raise DocumentFault("the merge key << is not part of YAML 1.2; repeat the fields", *place)
    try:
        return _typed(text)
    except ValueError as error:
        raise DocumentFault(str(error), *place) from None


def _typed(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        base = _BASES.get(text[:2], 10)
        return integer(text if base == 10 else text[2:], base)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError("holds a number that is too large")
        return value
    return text
