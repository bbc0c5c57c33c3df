"""Named functions that the operator installs, for tasks of the type ``system_function``.

A package announces its functions as entry points of the group ``taskengine.functions``: each names a function that
:func:`system_function` decorates. Decorated functions of modules that are imported otherwise are known too. Who may
call one is up to the operator, who grants it (``taskengine functions grant``), unless it is ``open`` to all.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import BaseModel

from taskengine.handlers.base import Context

ENTRY_POINT_GROUP = "taskengine.functions"

F = TypeVar("F", bound=Callable[..., Any])


class DuplicateFunction(Exception):
    """Two different functions claim the same name."""


@dataclass(frozen=True, slots=True)
class SystemFunction:
    """A named function. It is called with the attempt's context and its input, and returns an ``output``, or JSON for
    one.
    """

    name: str
    input: type[BaseModel]
    output: type[BaseModel]
    description: str
    open: bool
    """Whether every organization may call it."""
    call: Callable[[Context, Any], Any]


_known: dict[str, SystemFunction] = {}
_loading = threading.Lock()
_loaded = False


def system_function(
    name: str, *, input: type[BaseModel], output: type[BaseModel], description: str, open: bool = False
) -> Callable[[F], F]:
    """Decorator: make ``function(ctx, input)`` known by a name, such as ``billing.close_month``.

    It runs in a worker, may be called again after a crash (``ctx.idempotency_key``), fails by raising TransientError or
    PermanentError, and should stop when ``ctx.cancelled()``.
    """

    def declare(function: F) -> F:
        made = SystemFunction(name, input, output, description, open, function)
        known = _known.setdefault(name, made)
        if known.call is not function:
            raise DuplicateFunction(f"function {name!r} is claimed by {known.call!r} and {function!r}")
        return function

    return declare


def functions() -> dict[str, SystemFunction]:
    """All that are installed in this process, by name; entry points are loaded when this is first asked."""
    global _loaded  # noqa: PLW0603 - once for the process, like the registry of types
    with _loading:
        if not _loaded:
            for point in entry_points(group=ENTRY_POINT_GROUP):
                point.load()
            _loaded = True
    return dict(sorted(_known.items()))


def unknown(name: str) -> str:
    """What to tell about a name that no function has: those that are near, or all."""
    known = functions()
    close = difflib.get_close_matches(name[:200], known, n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known are: {', '.join(known) or 'none'}"
    return f"there is no function {name[:200]!r}; {hint}"
