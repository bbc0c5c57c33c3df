"""Reads of a run's rows, and notes on them: single rows, scopes, what ended rows gave, what is due."""

from __future__ import annotations

from taskengine.store.steps.due import awaiting, left_behind, over, unmade, watching
from taskengine.store.steps.ended import bad, culprits, latest, lost_outside, results, run_results, upstream
from taskengine.store.steps.rows import expansion, has_ended, late, load, set_state, take_expansion, will_fail
from taskengine.store.steps.scope import below, children, counts, inside, is_open, other_branch, scopes, sub_runs, tally

__all__ = [
    "awaiting",
    "bad",
    "below",
    "children",
    "counts",
    "culprits",
    "expansion",
    "has_ended",
    "inside",
    "is_open",
    "late",
    "latest",
    "left_behind",
    "load",
    "lost_outside",
    "other_branch",
    "over",
    "results",
    "run_results",
    "scopes",
    "set_state",
    "sub_runs",
    "take_expansion",
    "tally",
    "unmade",
    "upstream",
    "watching",
    "will_fail",
]
