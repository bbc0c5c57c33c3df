"""A page as data: one bounded copy of its document, taken in a world that the page cannot reach.

Everything that extraction does afterwards, it does on this copy: no script of the page runs in between, and no value
of it is more than text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import orjson
from playwright.sync_api import CDPSession, Frame
from playwright.sync_api import Error as PlaywrightError

from taskengine.domain.cleaning import clean_text
from taskengine.domain.errors import PermanentError, TransientError
from workers.browser.browser_errors import first_line, is_gone
from workers.browser.session import Session

READ_SECONDS = 20
"""The page must answer within this time; the read itself may take half of it."""
MOST = {"nodes": 150_000, "characters": 8_000_000, "attribute": 4_000, "matches": 100_000, "depth": 250}
"""So much of a page is read."""
_MOST_ANSWER = 100_000_000
_HIDDEN, _BLOCK, _CELL = 1, 2, 4
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
LINKS = frozenset(("href", "src", "action", "formaction", "poster", "cite", "data-src", "data-href"))
"""Attributes that hold a link."""
_SPACE = re.compile(r"\s+")
_WORLD = "taskengine"


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

    @property
    def elements(self) -> list[Node]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Node)]

    @property
    def classes(self) -> list[str]:
        """The class names, in order."""
        return self.attributes.get("class", "").split()

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
class Query:
    """Find what ``selector`` matches, within each match of the query named ``within`` or in the whole document.

    Without a selector, the matches of ``within`` themselves.
    """

    name: str
    selector: str | None
    within: str | None = None
    most: int = MOST["matches"]


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


def read_document(session: Session, queries: Sequence[Query] = (), frame: str | None = None) -> Document:
    """Copy the page's document (or that of a frame in it), with what the queries match.

    Raises PermanentError ``bad_selector`` or ``no_such_frame``, TransientError ``page_not_readable``.
    """
    request = {
        "most": MOST,
        "queries": [asdict(query) for query in queries],
    }
    expression = f"({_script()})({orjson.dumps(request).decode()})"
    try:
        with session.supervision.limit(READ_SECONDS, "reading the page"):
            answer = _evaluate(session, expression, frame)
    except PlaywrightError as error:
        if is_gone(error):
            raise session.fault_of(error, "reading the page") from error
        reason = clean_text(first_line(error)[:300])
        raise TransientError(
            "page_not_readable",
            "the page did not let itself be read: it is gone, broken, too large or busy without end; "
            "wait for something on it first, or look at its screenshot",
            {"reason": reason, "seconds": READ_SECONDS},
        ) from error
    return _document(answer, queries)


def _evaluate(session: Session, expression: str, frame: str | None) -> object:
    inner = _frame(session, frame) if frame is not None else None
    cdp, frame_id = _world_of(session, inner, frame)
    try:
        world = cdp.send("Page.createIsolatedWorld", {"frameId": frame_id, "worldName": _WORLD})
        answer = cdp.send(
            "Runtime.evaluate",
            {
                "contextId": world["executionContextId"],
                "expression": expression,
                "returnByValue": True,
                "timeout": READ_SECONDS * 500,
            },
        )
    finally:
        cdp.detach()
    if "exceptionDetails" in answer:
        raise PlaywrightError(str(answer["exceptionDetails"].get("exception", {}).get("description", "exception")))
    return answer.get("result", {}).get("value")


def _frame(session: Session, selector: str) -> Frame:
    handle = session.page.query_selector(selector)
    inner = handle.content_frame() if handle is not None else None
    if inner is None:
        raise PermanentError("no_such_frame", f"the page has no frame at {selector!r}", {"frame": selector})
    return inner


def _world_of(session: Session, inner: Frame | None, selector: str | None) -> tuple[CDPSession, str]:
    """A session and the frame's id in it. A frame of another site has a process, and so a session, of its own."""
    if inner is not None:
        try:
            cdp = session.context.new_cdp_session(inner)
        except PlaywrightError:
            pass
        else:
            return cdp, str(cdp.send("Page.getFrameTree")["frameTree"]["frame"]["id"])
    cdp = session.context.new_cdp_session(session.page)
    top = cdp.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
    if inner is None:
        return cdp, str(top)
    world = cdp.send("Page.createIsolatedWorld", {"frameId": top, "worldName": _WORLD})["executionContextId"]
    find = f"Document.prototype.querySelector.call(document, {orjson.dumps(selector).decode()})"
    found = cdp.send("Runtime.evaluate", {"contextId": world, "expression": find})["result"]
    node = cdp.send("DOM.describeNode", {"objectId": found["objectId"]})["node"]
    return cdp, str(node["frameId"])


@cache
def _script() -> str:
    return (Path(__file__).parent / "static" / "read_page.js").read_text()


def _document(value: object, queries: Sequence[Query]) -> Document:
    """What the script answered, checked: its shape is ours, its texts are the page's."""
    if not isinstance(value, str) or len(value) > _MOST_ANSWER:
        raise TransientError("page_not_readable", "the page's document is larger than can be read", {})
    answer = cast("dict[str, Any]", orjson.loads(value))
    errors = cast("dict[str, str]", answer["errors"])
    for query in queries:
        if query.name in errors:
            raise PermanentError(
                "bad_selector",
                f"{query.name}: {query.selector!r} is no selector: {clean_text(errors[query.name])}",
                {"field": query.name, "selector": query.selector},
            )
    nodes = build(answer["nodes"])
    root = nodes.get(0) or Node(0, "html", {}, None, False, True, False)
    matches = _matches(answer["matches"], queries, nodes)
    url, base, title = (clean_text(str(answer[name])) for name in ("url", "base", "title"))
    return Document(url, base, title, root, matches, [str(item) for item in answer["cut"]])


def _matches(
    answered: Mapping[str, Sequence[Sequence[int]]], queries: Sequence[Query], nodes: Mapping[int, Node]
) -> dict[str, dict[int, list[Node]]]:
    """The answer has one list for each match of ``within``, in the order of those matches."""
    matches: dict[str, dict[int, list[Node]]] = {}
    for query in queries:
        parents = (
            [-1] if query.within is None else [node.index for one in matches[query.within].values() for node in one]
        )
        found = [[nodes[index] for index in one if index in nodes] for one in answered.get(query.name, [])]
        matches[query.name] = dict(zip(parents, found, strict=False))
    return matches


def build(entries: Sequence[Sequence[Any]]) -> dict[int, Node]:
    """The elements of ``read_page.js``'s list by their index, linked to each other."""
    nodes: dict[int, Node] = {}
    for index, entry in enumerate(entries):
        parent = nodes.get(int(entry[0]))
        if len(entry) == 2:
            if parent is not None:
                parent.children.append(clean_text(str(entry[1])))
            continue
        _, tag, flags, attributes = entry
        held = {clean_text(str(name)): clean_text(str(text)) for name, text in attributes.items()}
        flag = int(flags)
        node = Node(index, str(tag), held, parent, bool(flag & _HIDDEN), bool(flag & _BLOCK), bool(flag & _CELL))
        nodes[index] = node
        if parent is not None:
            parent.children.append(node)
    return nodes
