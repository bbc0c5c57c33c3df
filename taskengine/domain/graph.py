"""Dependencies between tasks: ``edges`` maps each node to what it depends on.

Everything here is iterative and linear in nodes and edges: a chain of 100,000 is as good as any other graph. What
stands only on the right side of ``edges`` is a node too, one that depends on nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


def order(edges: Mapping[K, Sequence[K]]) -> list[K]:
    """Nodes such that each stands after what it depends on; raises :class:`Cycle`."""
    try:
        return list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        nodes: Any = error.args[1]
        # graphlib names a cycle from a node to those that depend on it; people read "a waits for b".
        raise Cycle(list(reversed(nodes))) from None


def layers(edges: Mapping[K, Sequence[K]]) -> list[list[K]]:
    """What can run side by side: a node's layer is one more than the highest of its upstreams.

    Within a layer, nodes stand in the order of ``edges``. Raises :class:`Cycle`.
    """
    height: dict[K, int] = {}
    for node in order(edges):
        height[node] = 1 + max((height[upstream] for upstream in edges.get(node, ())), default=-1)
    found: list[list[K]] = [[] for _ in range(1 + max(height.values(), default=-1))]
    for node in dict.fromkeys(edges) | height:
        found[height[node]].append(node)
    return found


def critical_path(edges: Mapping[K, Sequence[K]], weights: Mapping[K, float]) -> tuple[list[K], float]:
    """The heaviest way through the graph, first node first, and its weight: no schedule takes less time.

    ``weights`` has one for each node, none negative. Of equally heavy ways it is one with the most nodes, so that those
    without a weight are not left out; always the same for the same ``edges``. Raises :class:`Cycle`, and KeyError for a
    node without a weight.
    """
    reached: dict[K, tuple[float, int]] = {}
    before: dict[K, K] = {}
    for node in order(edges):
        weight, number = weights[node], 1
        if upstreams := edges.get(node, ()):
            before[node] = max(upstreams, key=reached.__getitem__)
            weight += reached[before[node]][0]
            number += reached[before[node]][1]
        reached[node] = (weight, number)
    if not reached:
        return [], 0.0
    path = [max(reached, key=reached.__getitem__)]
    while path[-1] in before:
        path.append(before[path[-1]])
    return path[::-1], reached[path[0]][0]


class Reach(Generic[K]):
    """What comes after what, at any distance. Raises :class:`Cycle` when it is made."""

    def __init__(self, edges: Mapping[K, Sequence[K]], most: int) -> None:
        """``most``: so many nodes are looked at for all questions together."""
        self._edges = edges
        self._place = {node: place for place, node in enumerate(order(edges))}
        self._left = most

    def follows(self, node: K, other: K) -> bool:
        """Whether ``node`` is ``other``, or depends on it; False as well when too much would have to be looked at."""
        # Nothing that stands before the other in the order can depend on it.
        first = self._place[other]
        seen, waiting = {node}, [node]
        while waiting and self._left > 0:
            here = waiting.pop()
            if here == other:
                return True
            self._left -= 1
            further = {item for item in self._edges.get(here, ()) if self._place[item] >= first} - seen
            seen |= further
            waiting += further
        return False


class Cycle(Exception):
    """``nodes`` is the whole cycle, its first node again at the end; each waits for the next."""

    def __init__(self, nodes: list[Any]) -> None:
        super().__init__(str(nodes))
        self.nodes = nodes
