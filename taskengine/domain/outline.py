"""A definition as a graph of what is done, without running it: for plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskengine.domain import graph, nodes
from taskengine.domain.nodes import Node
from taskengine.domain.states import Kind

_WORK = frozenset({Kind.task, Kind.expansion, Kind.wait, Kind.workflow})


@dataclass(frozen=True, slots=True)
class Point:
    """A step that is work or waiting itself; of one that holds others its beginning, or its end."""

    place: int
    end: bool
    node: Node = field(compare=False)

    @property
    def is_work(self) -> bool:
        """Whether it is a step itself."""
        return self.node.kind in _WORK


def flattened(made: Sequence[Node]) -> list[Node]:
    """The nodes, with one round of each loop in place of its body."""
    flat = list(made)
    place = 0
    while place < len(flat):
        node = flat[place]
        if node.kind is Kind.loop:
            body = nodes.STEPS.validate_python(node.step["steps"])
            root = Node(node.path, node.key, Kind.sequential, node.name)
            inside = nodes.of_steps(body, node.on_failure, f"{node.path}.", root)[1:]
            base = len(flat) - 1
            for inner in inside:
                inner.upstream = [base + other for other in inner.upstream]
                inner.parent = place if not inner.parent else base + inner.parent
            flat += inside
        place += 1
    return flat


def edges(flat: Sequence[Node]) -> dict[Point, list[Point]]:
    """What each point comes after. A step that holds others begins before and ends after all that is in it."""
    begins = [Point(place, False, node) for place, node in enumerate(flat)]
    ends = [begin if begin.is_work else Point(begin.place, True, begin.node) for begin in begins]
    found: dict[Point, list[Point]] = {}
    for place, node in enumerate(flat):
        found[begins[place]] = [ends[other] for other in node.upstream]
        if not begins[place].is_work:
            found[ends[place]] = [begins[place]]
        if node.parent is not None:
            found[begins[place]].append(begins[node.parent])
    for place, node in enumerate(flat):
        if node.parent is not None:
            found[ends[node.parent]].append(ends[place])
    return found


def rounds(flat: Sequence[Node], length: Callable[[Any], int | None]) -> list[int]:
    """How many times, one after the other, each node of :func:`flattened` goes with the loops that it is in.

    ``length`` tells how long the list of a ``for_each`` is, where that is known; a loop counts as one round otherwise.
    """
    inside: list[int] = []
    found: list[int] = []
    for node in flat:
        outer = 1 if node.parent is None else inside[node.parent]
        items = length(node.step.get("for_each")) if node.kind is Kind.loop else None
        # Some rounds go at once.
        own = 1 if items is None else -(-items // node.step["max_parallel"])
        found.append(outer)
        inside.append(outer * own)
    return found


def layers(flat: Sequence[Node], after: Mapping[Point, Sequence[Point]]) -> list[list[Node]]:
    """The steps that may go at once, layer by layer, each in the order of the definition."""
    depth: dict[Point, int] = {}
    for point in graph.order(after):
        depth[point] = max((depth[other] for other in after[point]), default=0) + point.is_work
    found: list[list[Node]] = [[] for _ in range(max(depth.values(), default=0))]
    for place, node in enumerate(flat):
        point = Point(place, False, node)
        if point.is_work:
            found[depth[point] - 1].append(node)
    return found
