"""What the checks share: faults, names that are close, and the steps of a definition as they were sent.

The checks look at the data, not at the models: so they find all they can in a definition of which a part is broken.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from taskengine.domain.comparisons import kind
from taskengine.domain.workflow import STEP_LISTS

Path = tuple[str | int, ...]
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_SHOWN = 100
_LISTED = 15
# Comparing takes microseconds for each, and there may be thousands of names and of faults.
_COMPARED = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at a path of the data: a machine code, and a sentence."""

    path: Path
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as it was sent, and where. ``ordered`` is False in a parallel step's list."""

    path: Path
    raw: dict[str, Any]
    parent: StepView | None
    ordered: bool

    @property
    def id(self) -> str | None:
        """Its id, if it is text."""
        return text(self.raw.get("id"))

    @property
    def type(self) -> str | None:
        """Its type, if it is text."""
        return text(self.raw.get("type"))

    @property
    def siblings(self) -> Path:
        """The path of the list that it stands in."""
        return self.path[:-1]

    def inside(self, *types: str) -> StepView | None:
        """The nearest step around it that is of one of these types."""
        around = self.parent
        while around is not None and around.type not in types:
            around = around.parent
        return around


def views(raw: dict[str, Any], path: Path = (), parent: StepView | None = None) -> Iterator[StepView]:
    """All steps that are objects, nested ones after their parent."""
    for name in STEP_LISTS:
        steps = raw.get(name)
        for place, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict):
                view = StepView((*path, name, place), step, parent, parent is None or parent.type != "parallel")
                yield view
                yield from views(step, view.path, view)


def text(value: Any) -> str | None:
    """The value if it is text."""
    return value if isinstance(value, str) else None


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, or else an empty one."""
    return value if isinstance(value, dict) else {}


def field(raw: dict[str, Any], name: str) -> tuple[str, Any]:
    """A field's spelling in the data and its value; None where it is absent."""
    camel = to_camel(name)
    return (camel, raw[camel]) if camel in raw and name not in raw else (name, raw.get(name))


def strings(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """All texts in a JSON value that hold a template, with their paths."""
    if isinstance(value, str):
        if "{{" in value:
            yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from strings(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from strings(item, (*path, place))


def quoted(value: Any) -> str:
    """A name for a message, cut to a sensible length; of anything else the kind, since it may hold what is secret."""
    return repr(value[:_SHOWN]) if isinstance(value, str) else kind(value)


def hint(name: str, known: Collection[str]) -> str:
    """How a sentence about an unknown name ends: with the close match, or with what there is."""
    likely = sorted(known, key=lambda other: (other[:1] != name[:1], abs(len(other) - len(name)), other))[:_COMPARED]
    if close := difflib.get_close_matches(name[:_SHOWN], likely, n=1):
        return f"did you mean {close[0]!r}?"
    if not known:
        return "there are none"
    shown = ", ".join(sorted(known)[:_LISTED])
    return f"known are: {shown}" + (", …" if len(known) > _LISTED else "")


def snake(name: str) -> str:
    """``maxIterations`` as the docs spell it."""
    return _CAMEL.sub(lambda found: f"_{found[1].lower()}", name)


def dotted(path: Path) -> str:
    """``steps[2].condition.operator``."""
    made = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return made.removeprefix(".")
