"""Reads a page: one bounded copy of its document, taken in a world that the page cannot reach.

No script of the page runs while it is read, none of its prototypes is used, and what comes back is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
from playwright.sync_api import CDPSession, Frame
from playwright.sync_api import Error as PlaywrightError

from taskengine.domain.cleaning import clean_text
from taskengine.domain.errors import PermanentError, TransientError
from workers.browser.browser_errors import first_line, is_gone
from workers.browser.extract_document import BLOCK, CELL, HIDDEN, Document, Node
from workers.browser.session import Session

READ_SECONDS = 20
"""The page must answer within this time; the read itself may take half of it."""
MOST = {"nodes": 150_000, "characters": 8_000_000, "attribute": 4_000, "matches": 100_000, "depth": 250}
"""So much of a page is read."""
_MOST_ANSWER = 100_000_000
_WORLD = "taskengine"


@dataclass(frozen=True, slots=True)
class Query:
    """Find what ``selector`` matches, within each match of the query named ``within`` or in the whole document.

    Without a selector, the matches of ``within`` themselves.
    """

    name: str
    selector: str | None
    within: str | None = None
    most: int = MOST["matches"]


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
        node = Node(index, str(tag), held, parent, bool(flag & HIDDEN), bool(flag & BLOCK), bool(flag & CELL))
        nodes[index] = node
        if parent is not None:
            parent.children.append(node)
    for node in reversed(nodes.values()):
        node.size += len(node.children)
        if node.parent is not None:
            node.parent.size += node.size
    return nodes
