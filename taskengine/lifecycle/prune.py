"""Deletes finished tasks that are old enough, with everything that hangs on them."""

from __future__ import annotations

from itertools import count

from taskengine.lifecycle.engine import Engine
from taskengine.store import deliveries, runs, tasks


def prune(engine: Engine, older_than_days: int, batch: int = 1000, most_batches: int | None = None) -> int:
    """Delete in batches, each a transaction of its own; returns how many tasks went.

    ``most_batches`` bounds the work of one call; None goes on until nothing is left.

    Messages that ended go first. A finished task that an unfinished one depends on stays. Of a run that is old enough
    its record goes first, then its tasks like any others.
    """
    for _ in count() if most_batches is None else range(most_batches):
        with engine.db.begin() as conn:
            if not deliveries.forget_before(conn, older_than_days, batch):
                break
    removed = 0
    for _ in count() if most_batches is None else range(most_batches):
        with engine.db.begin() as conn:
            if not runs.remove_before(conn, older_than_days, batch):
                break
    for _ in count() if most_batches is None else range(most_batches):
        with engine.db.begin() as conn:
            ids = tasks.finished_before(conn, older_than_days, batch)
            files = tasks.remove(conn, ids) if ids else []
        engine.files.remove(files)
        removed += len(ids)
        if len(ids) < batch:
            break
    return removed
