"""Reads of tasks and their edges, and writes of what is not their status."""

from __future__ import annotations

from taskengine.store.tasks.dependencies import (
    add_edges,
    blocking,
    known,
    open_dependents,
    unfinished_upstream,
    upstream,
)
from taskengine.store.tasks.record import (
    cancelling,
    change,
    due,
    expired,
    finished_before,
    held,
    internals,
    lock,
    parked_in_vain,
    remove,
    request_cancel,
    request_cancels,
    states,
    sync_outbox,
)
from taskengine.store.tasks.shown import SHOWN, first_id, get, last_id, listing, to_announce

__all__ = [
    "SHOWN",
    "add_edges",
    "blocking",
    "cancelling",
    "change",
    "due",
    "expired",
    "finished_before",
    "first_id",
    "get",
    "held",
    "internals",
    "known",
    "last_id",
    "listing",
    "lock",
    "open_dependents",
    "parked_in_vain",
    "remove",
    "request_cancel",
    "request_cancels",
    "states",
    "sync_outbox",
    "to_announce",
    "unfinished_upstream",
    "upstream",
]
