"""Reads a definition's text, YAML 1.2 or JSON, and remembers where in the text each part stands."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from taskengine.domain.yaml_nodes import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    DocumentFault,
    Node,
    Place,
    compose,
    integer,
    place_of,
)

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Document", "DocumentFault", "Path", "Place", "parse"]

# An escaped character, or two escapes that make one character beyond U+FFFF.
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.")

Path = tuple[str | int, ...]


class Document:
    """What a text says (``data``: JSON types only), and where."""

    def __init__(self, data: Any, text: str, root: Node | None) -> None:
        self.data = data
        self._text = text
        self._root = root

    def place(self, path: Path) -> Place:
        """Where the value at ``path`` stands, or the nearest thing around it.

        A value that starts on a later line than its key is found at its key.
        """
        if self._root is None:
            self._root = _root_of_json(self._text)
        node, place = self._root, self._root.place
        for part in path:
            if isinstance(part, str) and part in node.members:
                key_place, node = node.members[part]
                place = node.place if node.place[0] == key_place[0] else key_place
            elif isinstance(part, int) and 0 <= part < len(node.items):
                node = node.items[part]
                place = node.place
            else:
                break
        return place


def parse(text: str) -> Document:
    """Read YAML or JSON. Raises DocumentFault: not readable, too large, or more than JSON can say."""
    _check_text(text)
    text = text.removeprefix("\ufeff")
    if not text.lstrip().startswith(("{", "[")):
        root = compose(text, is_json=False)
        return Document(root.data, text, root)
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_int=integer)
        _check_size(data)
        return Document(data, text, None)
    except json.JSONDecodeError as error:
        return _flow_style(text, error)
    except (ValueError, RecursionError) as error:
        # JSON, but not such as is taken; composing it finds the place.
        compose(_as_yaml(text), is_json=True)
        raise DocumentFault(str(error), 1, 1) from None


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise DocumentFault("holds a lone surrogate, which is no character", *place_of(text, error.start)) from None
    if size > MAX_BYTES:
        raise DocumentFault(f"has {size} bytes; at most {MAX_BYTES} are allowed", 1, 1)


def _flow_style(text: str, error: json.JSONDecodeError) -> Document:
    """Text that starts like JSON and is none: YAML in flow style, or else faulty JSON."""
    try:
        root = compose(text, is_json=False)
    except DocumentFault:
        raise DocumentFault(f"is not JSON: {error.msg}", error.lineno, error.colno) from None
    return Document(root.data, text, root)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("holds a key twice in one object")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"holds {word}, which JSON has no word for")


def _check_size(data: Any) -> None:
    level, depth, nodes = [data], 0, 0
    while level:
        nodes += len(level)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise ValueError("is too large or nested too deep")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                nodes += len(value)
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("holds a number that is too large")
        level, depth = below, depth + 1


def _as_yaml(text: str) -> str:
    """JSON in the part of it that PyYAML reads, each character at its old place."""
    return _ESCAPE.sub(lambda found: "." * 12 if len(found[0]) == 12 else found[0], text.replace("\t", " "))


def _root_of_json(text: str) -> Node:
    try:
        return compose(_as_yaml(text), is_json=True)
    except DocumentFault:
        # A key of over 1,024 characters, for one, is JSON and not YAML: then all there is to say is "in this text".
        return Node((1, 1))
