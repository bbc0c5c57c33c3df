"""Dependencies between tasks that are submitted together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any


def order(edges: Mapping[int, Sequence[int]]) -> list[int]:
    """Nodes such that each stands after what it depends on; raises :class:`Cycle`."""
    try:
        return list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        nodes: Any = error.args[1]
        # graphlib names a cycle from a node to those that depend on it; people read "a waits for b".
        raise Cycle(list(reversed(nodes))) from None


class Cycle(Exception):
    """``nodes`` is the whole cycle, its first node again at the end; each waits for the next."""

    def __init__(self, nodes: list[int]) -> None:
        super().__init__(str(nodes))
        self.nodes = nodes
