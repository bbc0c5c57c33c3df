"""What a run gave, told once."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.cli import given
from taskengine.client.run_models import Run


def run(**fields: Any) -> Run:
    made: Any = {"context": {}, "results": {}, "partial_results": None} | fields
    shown: Run = made
    return shown


def test_a_completed_run_gave_its_results() -> None:
    assert given.results(run(results={"a": 1})) == {"a": 1}


@pytest.mark.parametrize(
    ("partial", "told"),
    [
        ({}, []),
        ({"a": 1, "b": None}, ["a", "b"]),
        ({"p": {"a": 1, "b": None}, "p.a": 1, "p.b": None}, ["p"]),
        ({"p": {"s": {"a": 1}}, "p.s": {"a": 1}, "p.s.a": 1}, ["p"]),
        # A step that failed has not its parts' results if those failed, too.
        ({"p": {}, "p.s": {"a": 1}, "p.s.a": 1}, ["p", "p.s"]),
        ({"p": {"a": 1}, "p.a": 2}, ["p", "p.a"]),
        ({"g": {"x.y": 1}, "g.x.y": 1}, ["g"]),
        ({"c": {"branch": "then", "results": {"a": 1}}, "c.a": 1}, ["c"]),
        (
            {"l": {"iterations": 1, "results": [{"a": 1}]}, "l[0]": {"a": 1}, "l[0].a": 1, "l[1].a": 1},
            ["l", "l[1].a"],
        ),
        ({"l": {"iterations": 2, "last": {"a": 2}}, "l[0]": {"a": 1}, "l[1]": {"a": 2}}, ["l", "l[0]"]),
        ({"l[0]": {"a": 1}, "l[0].a": 1}, ["l[0]"]),
        ({"l": [1], "l[0]": 1, "l.a": 1}, ["l", "l[0]", "l.a"]),
        ({"too_large": True, "tasks": "/v1/runs/1/tasks"}, ["too_large", "tasks"]),
    ],
)
def test_of_another_run_each_result_is_told_once(partial: dict[str, Any], told: list[str]) -> None:
    assert given.results(run(partial_results=partial)) == {path: partial[path] for path in told}


def test_the_context_is_told_without_what_steps_gave() -> None:
    shown = run(context={"customer": "Ada", "a": 1, "inner": 2}, results={"a": 1})
    assert given.fields(shown, {"a", "inner"}) == {"customer": "Ada"}


def test_where_the_results_are_is_told_with_the_results_only() -> None:
    elsewhere = {"too_large": True, "tasks": "/v1/runs/1/tasks"}
    shown = run(context={"customer": "Ada"} | elsewhere, results=elsewhere)
    assert given.fields(shown, {"a"}) == {"customer": "Ada"}
