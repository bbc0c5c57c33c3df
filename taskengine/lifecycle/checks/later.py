"""Tells which steps can only end later than a step looks at their ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from taskengine.domain import graph
from taskengine.lifecycle.checks import order
from taskengine.lifecycle.checks.document import Path, StepView, dotted, quoted

_MOST_LOOKED_AT = 500_000
Point = tuple[Path, bool]
"""A step's beginning, or its end."""


class Later:
    """Which steps of a definition end after others begin, whatever happens. Where it cannot tell, it says nothing."""

    def __init__(self, steps: Sequence[StepView]) -> None:
        counted = Counter(step.id for step in steps)
        self._by_id = {step.id: step for step in steps if counted[step.id] == 1}
        try:
            self._reach: graph.Reach[Point] | None = graph.Reach(_edges(steps), _MOST_LOOKED_AT)
        except graph.Cycle:
            self._reach = None

    def why(self, step: StepView, name: str) -> str | None:
        """Why the end of the step ``name`` is never known in ``step``, as a sentence; None if it may be."""
        other = self._by_id.get(name)
        if self._reach is None or other is None or _in_common_loop(step, other):
            return None
        if not self._reach.follows((other.path, True), (step.path, False)):
            return None
        here = dotted(step.path) if step.id is None else quoted(step.id)
        if other is step:
            return f"{here} has not ended while it looks at its own end"
        if any(around is other for around in _around(step)):
            return f"{quoted(name)}, which {here} is in, ends only after {here}"
        if any(around is step for around in _around(other)):
            return f"{quoted(name)}, which is in {here}, runs only after {here} has begun"
        return f"{quoted(name)} runs only after {here} has ended"


def _edges(steps: Sequence[StepView]) -> dict[Point, list[Point]]:
    found: dict[Point, list[Point]] = {}
    for siblings in order.lists(steps):
        for place, upstream in order.edges(siblings).items():
            step = siblings[place]
            found.setdefault((step.path, False), []).extend((siblings[other].path, True) for other in upstream)
            found.setdefault((step.path, True), []).append((step.path, False))
            if step.parent is not None:
                found[step.path, False].append((step.parent.path, False))
                found.setdefault((step.parent.path, True), []).append((step.path, True))
    return found


def _around(step: StepView) -> Iterator[StepView]:
    around = step.parent
    while around is not None:
        yield around
        around = around.parent


def _in_common_loop(step: StepView, other: StepView) -> bool:
    """Whether an earlier round of a loop may have ended ``other``."""
    loops = {around.path for around in _around(other) if around.type == "loop"}
    return any(around.path in loops for around in (step, *_around(step)))
