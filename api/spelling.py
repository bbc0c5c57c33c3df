"""Faults name fields as the client spelled them: `title` and `executionConfig` where these were sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pydantic.alias_generators import to_camel, to_snake

from api.errors import MAX_ERRORS, readable
from taskengine.domain.errors import FieldError, Invalid

Loc = tuple[str | int, ...]
_OTHER_NAMES = (("name", "title"), ("type", "task_type", "taskType"), ("config", "execution_config", "executionConfig"))
"""What a task's fields may be called beside their own names, as in `TaskSpec`."""
_OF_THE_CLIENT = {"config", "execution_config", "executionConfig", "input", "metadata"}
"""Below these, a `title` is a `title`."""
_BRANCH = re.compile(r".*[\[(].*|str|int|float|bool")
"""How Pydantic names the alternatives of a union, which are no part of what was sent."""
_NOTHING: Any = object()


@contextmanager
def spelled_as_sent(read: Callable[[], Any]) -> Iterator[None]:
    """Faults that are found within get the spelling of the body, which ``read`` gives; it is called for faults only."""
    try:
        yield
    except Invalid as error:
        if error.errors:
            body, first = read(), error.errors[0]
            error.errors = tuple(replace(item, loc=_as_sent(item.loc, body)) for item in error.errors[:MAX_ERRORS])
            error.detail = _named(error.detail, first, error.errors[0])
        raise


def _named(detail: str, before: FieldError, now: FieldError) -> str:
    """``detail`` with the first fault as it reads now, if it begins with that; ``detail`` itself if it does not."""
    for start in range(len(before.loc)):
        old = f"{_dotted(before.loc[start:])}: {before.msg}"
        if detail.startswith(old):
            place = now.loc if start == 0 else now.loc[1:]
            return f"{_dotted(place)}: {readable(now.type, now.msg)}{detail.removeprefix(old)}"
    return detail


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))


def _as_sent(loc: Loc, body: Any) -> Loc:
    if loc[:1] in (("query",), ("path",), ("header",)):
        return loc
    sent: list[str | int] = ["body"]
    node, of_the_engine = body, True
    for part in loc[1:] if loc[:1] == ("body",) else loc:
        if isinstance(part, str) and not isinstance(node, dict) and _BRANCH.fullmatch(part):
            continue
        name = _found(part, node, of_the_engine) if isinstance(part, str) and isinstance(node, dict) else part
        of_the_engine = of_the_engine and name not in _OF_THE_CLIENT
        node = _below(node, name)
        sent.append(name)
    return tuple(sent)


def _found(part: str, node: dict[str, Any], of_the_engine: bool) -> str:
    """The spelling of ``part`` that ``node`` has; ``part`` itself where it has none."""
    others = next((names for names in _OTHER_NAMES if part in names), ()) if of_the_engine else ()
    return next((name for name in (part, to_camel(part), to_snake(part), *others) if name in node), part)


def _below(node: Any, name: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(name, _NOTHING)
    if isinstance(node, list) and isinstance(name, int) and 0 <= name < len(node):
        return node[name]
    return _NOTHING
