"""A run's graph as Mermaid text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskengine.domain.mermaid import flowchart


def node(number: int, name: str, **more: Any) -> dict[str, Any]:
    base = {"id": UUID(int=number), "name": name, "kind": "task", "status": "completed", "parent": None}
    return base | {"children": None} | more


def edge(upstream: int, dependent: int, run_on: str = "success") -> dict[str, Any]:
    return {"from": UUID(int=upstream), "to": UUID(int=dependent), "run_on": run_on}


def test_steps_are_joined_by_arrows_that_say_when_they_are_for_clean_up() -> None:
    text = flowchart([node(1, "build"), node(2, "tidy", status="skipped")], [edge(1, 2, "failure")])
    assert '  n0["build<br/>completed"]' in text.splitlines()
    assert "  n0 -->|failure| n1" in text.splitlines()
    assert "  class n1 skipped" in text.splitlines()


def test_steps_that_hold_others_are_drawn_around_them() -> None:
    nodes = [node(1, "tests", kind="parallel"), node(2, "unit", parent=UUID(int=1))]
    assert flowchart(nodes, []).splitlines()[1:4] == [
        '  subgraph n0["tests (parallel)<br/>completed"]',
        '    n1["unit<br/>completed"]',
        "  end",
    ]


def test_an_expansion_says_how_many_of_its_children_are_done() -> None:
    text = flowchart([node(1, "each", kind="expansion", children={"total": 6, "completed": 4})], [])
    assert 'n0["each (expansion)<br/>completed 4/6"]' in text


def test_names_cannot_break_out_of_their_label() -> None:
    text = flowchart([node(1, 'x"] --> n9;\n%%{init}%% <b>')], [])
    assert text.count("\n") == 4
    assert '"] -->' not in text
    assert "<b>" not in text
