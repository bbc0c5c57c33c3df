"""What the steps of a run gave, told to people: each result once.

The API gives a run's results several times over, for those who look them up: in its context by key, in ``results``, and
in ``partial_results`` by path, where that of a step that holds others has theirs in it as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskengine.client import Run

_ROUND = re.compile(r"(.*)\[(\d+)\]")


def results(run: Run) -> dict[str, Any]:
    """What a completed run gave, by key; of another one what there is, by path, but for what stands in another."""
    partial = run["partial_results"]
    if partial is None:
        return run["results"]
    return {path: value for path, value in partial.items() if not _is_told(path, value, partial)}


def _is_told(path: str, value: Any, partial: dict[str, Any]) -> bool:
    """Whether the result of the step around, or of the loop that a round belongs to, holds this one."""
    if (found := _ROUND.fullmatch(path)) is not None:
        return _holds_round(partial.get(found[1]), int(found[2]), value)
    places = [place for place, letter in enumerate(path) if letter == "."]
    return any(_holds(partial.get(path[:place]), path[place + 1 :], value) for place in places)


def _holds_round(loop: Any, number: int, value: Any) -> bool:
    if not isinstance(loop, dict):
        return False
    rounds = loop.get("results")
    if isinstance(rounds, list):
        return number < len(rounds) and bool(rounds[number] == value)
    return bool(loop.get("last") == value)


def _holds(around: Any, key: str, value: Any) -> bool:
    """Whether the result of a step has that of ``key``; a conditional has those of its branch under ``results``."""
    inside = (around, around.get("results")) if isinstance(around, dict) else ()
    return any(isinstance(held, dict) and key in held and held[key] == value for held in inside)


def fields(run: Run, keys: Collection[str | None]) -> dict[str, Any]:
    """What clients put into the context: all but the results. ``keys`` are those of the run's steps."""
    too_large = run["results"] if "too_large" in run["results"] else {}
    return {name: value for name, value in run["context"].items() if name not in keys and name not in too_large}
