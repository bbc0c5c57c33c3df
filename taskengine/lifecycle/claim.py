"""Takes attempts off the line: from here exactly one holder runs each."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from taskengine.domain.errors import EngineError
from taskengine.domain.ids import new_id
from taskengine.lifecycle.engine import Engine
from taskengine.store import outbox, runs, transitions

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that this process holds, until its lease runs out."""

    task_id: UUID
    execution_id: UUID
    organization_id: UUID
    type: str
    name: str
    light: bool
    queue: str
    config: Any
    attempt: int
    error_count: int
    max_retries: int
    retry: dict[str, Any]
    timeout_seconds: float | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    claimed_at: datetime
    run_id: UUID | None
    path: str | None
    parent_id: UUID | None
    bindings: dict[str, Any] | None
    input: dict[str, Any] | None
    has_dependents: bool
    """Its end matters to others, as far as the claim could tell."""


def claim(
    engine: Engine, attempts: Sequence[tuple[UUID, int]], worker: str, lease_seconds: float | None = None
) -> tuple[list[Claimed], bool]:
    """Claim what a message names; returns what was there to claim, in the message's order, and whether the queue
    has more tasks in line. A duplicate, late or forged message claims nothing.

    They are held for ``lease_seconds``; None: as long as the settings say.
    """
    unique = dict(attempts)
    with engine.db.autocommit() as conn:
        rows = transitions.claim(
            conn,
            list(unique),
            list(unique.values()),
            [new_id() for _ in unique],
            worker,
            lease_seconds or engine.settings.lease_seconds,
        )
    by_id = {row.id: row for row in rows}
    claimed = [claimed_of(by_id[task_id]) for task_id in unique if task_id in by_id]
    return claimed, any(row.more for row in rows)


def hand_over(engine: Engine, conn: Connection, ids: Sequence[UUID], worker: str) -> tuple[list[Claimed], list[Any]]:
    """Claim tasks that something lets go in this very transaction, in their order, where nothing else of their queue
    waits; returns the rows as well.
    """
    rows = transitions.hand_over(conn, ids, [new_id() for _ in ids], worker, engine.settings.lease_seconds)
    by_id = {row.id: row for row in rows}
    return [claimed_of(by_id[task_id]) for task_id in ids if task_id in by_id], rows


def hold_back(engine: Engine, ids: Set[UUID]) -> None:
    """Take tasks out of the line whose run was paused while they were on their way into it.

    The claim refuses them; left there they would come again and again, before all that is younger. An outage at this
    moment must not cost what was claimed: then they come again.
    """
    try:
        with engine.db.begin() as conn:
            if paused := runs.paused_among(conn, sorted(ids)):
                transitions.move(conn, "paused", outbox.hold(conn, sorted(paused)), held=True)
    except EngineError as error:
        log.warning("hold_delayed", reason=str(error))


def claimed_of(row: Any) -> Claimed:
    """An attempt from a row that has the columns of its task, ``execution_id`` and ``claimed_at``."""
    return Claimed(
        task_id=row.id,
        execution_id=row.execution_id,
        organization_id=row.organization_id,
        type=row.type,
        name=row.name,
        light=row.light,
        queue=row.queue,
        config=row.config,
        attempt=row.attempt,
        error_count=row.error_count,
        max_retries=row.max_retries,
        retry=row.retry,
        timeout_seconds=row.timeout_seconds,
        input_schema=row.input_schema,
        output_schema=row.output_schema,
        claimed_at=row.claimed_at,
        run_id=row.run_id,
        path=row.path,
        parent_id=row.parent_id,
        bindings=row.bindings,
        input=row.input,
        has_dependents=row.has_dependents,
    )
