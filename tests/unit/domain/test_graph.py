"""Order, layers and the critical path of dependency graphs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.domain.graph import Cycle, Reach, critical_path, layers, order

LONG = 100_000
DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Graphs without cycles, their nodes in any order; some nodes stand on the right side only."""
    names = draw(st.permutations("abcdefgh"))
    edges: dict[str, list[str]] = {names[0]: []}
    for place in range(1, len(names)):
        edges[names[place]] = draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4))
    left_out = draw(st.sets(st.sampled_from(names)))
    return {name: edges[name] for name in draw(st.permutations(names)) if edges[name] or name not in left_out}


def nodes(edges: dict[str, list[str]]) -> set[str]:
    return {*edges, *(upstream for upstreams in edges.values() for upstream in upstreams)}


def ways(edges: dict[str, list[str]], node: str) -> list[list[str]]:
    """Every way that ends at ``node``, tried out one by one."""
    return [[node]] + [[*way, node] for upstream in edges.get(node, []) for way in ways(edges, upstream)]


@given(graphs())
def test_in_the_order_each_node_stands_once_and_after_its_upstreams(edges: dict[str, list[str]]) -> None:
    found = order(edges)
    assert sorted(found) == sorted(nodes(edges))
    assert all(found.index(upstream) < found.index(node) for node in edges for upstream in edges[node])


@given(graphs())
def test_a_nodes_layer_is_the_length_of_the_longest_way_to_it(edges: dict[str, list[str]]) -> None:
    found = layers(edges)
    assert sorted(node for layer in found for node in layer) == sorted(nodes(edges))
    for height, layer in enumerate(found):
        assert layer
        assert all(max(map(len, ways(edges, node))) == height + 1 for node in layer)


@given(graphs())
def test_within_a_layer_nodes_stand_as_in_the_edges(edges: dict[str, list[str]]) -> None:
    place = {node: number for number, node in enumerate(edges)}
    for layer in layers(edges):
        listed = [place[node] for node in layer if node in place]
        assert listed == sorted(listed)


@given(graphs(), st.lists(st.integers(0, 9), min_size=8, max_size=8))
def test_no_way_is_heavier_than_the_critical_path(edges: dict[str, list[str]], weighed: Sequence[int]) -> None:
    weights = {name: float(weight) for name, weight in zip("abcdefgh", weighed, strict=True)}
    path, weight = critical_path(edges, weights)
    everything = [way for node in nodes(edges) for way in ways(edges, node)]
    heaviest = max((sum(weights[node] for node in way) for way in everything), default=0)
    assert weight == heaviest == sum(weights[node] for node in path)
    assert len(path) == max((len(way) for way in everything if sum(weights[node] for node in way) == weight), default=0)
    assert all(before in edges[node] for before, node in pairwise(path))
    assert not path or not edges.get(path[0])


def test_a_diamond_has_three_layers_and_its_heavier_side_is_critical() -> None:
    assert layers(DIAMOND) == [["a"], ["b", "c"], ["d"]]
    assert critical_path(DIAMOND, {"a": 1, "b": 2, "c": 3.5, "d": 1}) == (["a", "c", "d"], 5.5)


def test_an_empty_graph_has_no_layers_and_weighs_nothing() -> None:
    assert layers({}) == []
    assert critical_path({}, {}) == ([], 0.0)


def test_a_node_on_the_right_side_only_is_in_the_first_layer() -> None:
    assert layers({2: [1]}) == [[1], [2]]


def test_a_weight_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        critical_path(DIAMOND, {"a": 1})


def test_a_chain_of_100_000_nodes_needs_no_recursion() -> None:
    chain = {number: [number - 1] if number else [] for number in range(LONG)}
    assert order(chain) == list(range(LONG))
    assert len(layers(chain)) == LONG
    assert critical_path(chain, dict.fromkeys(chain, 1.0)) == (list(range(LONG)), float(LONG))


def test_a_join_of_100_000_nodes_has_two_layers() -> None:
    joined = {LONG: list(range(LONG))}
    assert [len(layer) for layer in layers(joined)] == [LONG, 1]


@pytest.mark.parametrize("find", [order, layers, lambda edges: critical_path(edges, dict.fromkeys("abcd", 1))])
def test_a_cycle_is_named_in_full_in_the_direction_of_waiting(find: object) -> None:
    assert callable(find)
    with pytest.raises(Cycle) as caught:
        find({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})
    found = caught.value.nodes
    assert found[0] == found[-1]
    assert "".join(found[:-1]) in ("abc", "bca", "cab")


@given(graphs())
def test_what_follows_what_is_what_can_be_reached(edges: dict[str, list[str]]) -> None:
    reach = Reach(edges, 10**6)
    for node in nodes(edges):
        assert {other for other in nodes(edges) if reach.follows(node, other)} == {way[0] for way in ways(edges, node)}


def test_what_follows_what_is_not_looked_for_without_end() -> None:
    chain = {number: [number - 1] if number else [] for number in range(LONG)}
    reach = Reach(chain, LONG)
    assert reach.follows(LONG - 1, 1)
    assert not reach.follows(LONG - 1, 1)
