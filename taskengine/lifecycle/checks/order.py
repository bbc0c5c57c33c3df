"""Checks ids and ``depends_on`` of steps: what they name exists, in the same list, and nothing waits for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from taskengine.domain import graph
from taskengine.lifecycle.checks.document import Fault, Path, StepView, dotted, field, hint, quoted


def faults(steps: Sequence[StepView]) -> Iterator[Fault]:
    """All faults of ids and dependencies."""
    first: dict[str, StepView] = {}
    for step in steps:
        if step.id is None:
            continue
        if (other := first.setdefault(step.id, step)) is not step:
            text = f"the id {quoted(step.id)} is used twice; {dotted(other.path)} has it already"
            yield Fault((*step.path, "id"), "duplicate_id", text)
    for siblings in lists(steps):
        yield from _faults_of_list(siblings, first)


def lists(steps: Sequence[StepView]) -> Iterator[list[StepView]]:
    """The steps of each list, in their order."""
    found: dict[Path, list[StepView]] = {}
    for step in steps:
        found.setdefault(step.siblings, []).append(step)
    yield from found.values()


def edges(siblings: Sequence[StepView]) -> dict[int, list[int]]:
    """What each step of a list waits for, by their places; names that are none of the list are left out."""
    places = _places(siblings)
    found: dict[int, list[int]] = {}
    for place, step in enumerate(siblings):
        names = field(step.raw, "depends_on")[1]
        if names is None:
            found[place] = [place - 1] if step.ordered and place else []
        else:
            found[place] = [places[name] for name in _named(names) if isinstance(name, str) and name in places]
    return found


def _places(siblings: Sequence[StepView]) -> dict[str, int]:
    return {step.id: place for place, step in reversed(list(enumerate(siblings))) if step.id is not None}


def _named(names: object) -> Sequence[object]:
    return names if isinstance(names, list) else ()


def _faults_of_list(siblings: Sequence[StepView], everywhere: dict[str, StepView]) -> Iterator[Fault]:
    places = _places(siblings)
    for step in siblings:
        spelling, names = field(step.raw, "depends_on")
        yield from _faults_of_names(step, (*step.path, spelling), _named(names), places, everywhere)
    # What waits for itself alone is told already.
    yield from _cycle(siblings, {place: [up for up in ups if up != place] for place, ups in edges(siblings).items()})


def _faults_of_names(
    step: StepView, path: Path, names: Sequence[object], places: dict[str, int], everywhere: dict[str, StepView]
) -> Iterator[Fault]:
    counted = Counter(name for name in names if isinstance(name, str))
    for number, name in enumerate(names):
        here = (*path, number)
        if not isinstance(name, str):
            continue
        if name == step.id:
            yield Fault(here, "circular_dependency", f"{name} -> {name}: the step depends on itself")
        elif name in places:
            if counted[name] > 1 and name in names[:number]:
                yield Fault(here, "duplicate_dependency", f"names {quoted(name)} a second time")
        elif (other := everywhere.get(name)) is not None:
            text = f"{quoted(name)} is a step of another list ({dotted(other.siblings)}); {_instead(step, other)}"
            yield Fault(here, "dependency_in_other_list", text)
        else:
            text = f"there is no step {quoted(name)} in this list; {hint(name, places.keys() - {step.id})}"
            yield Fault(here, "unknown_dependency", text)


def _instead(step: StepView, other: StepView) -> str:
    """What to depend on: the step of the same list that holds the other."""
    around: StepView | None = other
    while around is not None and around.siblings != step.siblings:
        around = around.parent
    if around is step:
        return "a step cannot wait for what is inside of it"
    if around is not None and around.id is not None:
        return f"depend on {around.id!r}, which holds it"
    return "depends_on names steps of its own list only"


def _cycle(siblings: Sequence[StepView], edges: dict[int, list[int]]) -> Iterator[Fault]:
    try:
        graph.order(edges)
    except graph.Cycle as cycle:
        names = " -> ".join(siblings[place].id or f"step {place + 1}" for place in cycle.nodes)
        written = [place for place in cycle.nodes if field(siblings[place].raw, "depends_on")[1] is not None]
        implicit = next((place for place in cycle.nodes if place not in written), None)
        also = ""
        if implicit is not None:
            name, before = siblings[implicit].id, siblings[implicit - 1].id
            also = f" ({name!r} has no depends_on, so it waits for {before!r} before it; `depends_on: []` ends that)"
        step = siblings[written[0]]
        path = (*step.path, field(step.raw, "depends_on")[0])
        yield Fault(path, "circular_dependency", f"steps wait for each other: {names}{also}")
