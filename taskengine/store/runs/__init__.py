"""Reads of runs, and writes of what is not their status."""

from __future__ import annotations

from taskengine.store.runs.details import (
    child_counts,
    edges,
    events,
    gave,
    groups,
    nodes,
    progress,
    results_size,
    spans,
)
from taskengine.store.runs.record import (
    change,
    is_paused_around,
    keys_among,
    lock,
    names,
    newest_below,
    note,
    open_below,
    over,
    parents_gone,
    paused_among,
    remove_before,
    request_cancel,
    rows_in,
    size_of,
    state,
)
from taskengine.store.runs.shown import get, listing

__all__ = [
    "change",
    "child_counts",
    "edges",
    "events",
    "gave",
    "get",
    "groups",
    "is_paused_around",
    "keys_among",
    "listing",
    "lock",
    "names",
    "newest_below",
    "nodes",
    "note",
    "open_below",
    "over",
    "parents_gone",
    "paused_among",
    "progress",
    "remove_before",
    "request_cancel",
    "results_size",
    "rows_in",
    "size_of",
    "spans",
    "state",
]
