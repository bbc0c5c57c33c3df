"""Runs and the workflows that they run."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from taskengine.domain.states import RUN_FINAL, RunStatus
from taskengine.store.tables.columns import created_at, metadata, moment, one_of, organization_id

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("workflow", Text),
    Column("version", Integer),
    # What it runs, as it stood at the start: a new version of the workflow changes nothing here.
    Column("definition", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("variables", JSON, nullable=False),
    # What the client gave and signals set; results join it when they are read.
    Column("context", JSON, nullable=False),
    # Named signals that no wait has taken yet: [{signal, data, by, at}].
    Column("signals", JSON, nullable=False),
    Column("error", JSON),
    Column("timeout_seconds", Double),
    moment("times_out_at"),
    # The step of another run that waits for this one, and how deep that goes.
    Column("parent_task_id", Uuid),
    Column("depth", Integer, nullable=False),
    moment("cancel_requested_at"),
    Column("cancel_reason", Text),
    Column("created_by", Text, nullable=False),
    created_at(),
    moment("updated_at", required=True),
    moment("started_at"),
    moment("completed_at"),
    CheckConstraint(one_of("status", [status.value for status in RunStatus if status != "waiting"]), name="status"),
    CheckConstraint(
        f"({one_of('status', sorted(status.value for status in RUN_FINAL))}) = (completed_at IS NOT NULL)", name="ended"
    ),
    Index(None, "organization_id", "id"),
    Index(None, "organization_id", "status", "id"),
    Index(None, "organization_id", "workflow", "id"),
    Index("runs_open_idx", "id", postgresql_where=text("completed_at IS NULL")),
    Index("runs_limit_idx", "times_out_at", postgresql_where=text("times_out_at IS NOT NULL AND completed_at IS NULL")),
    Index("runs_parent_idx", "parent_task_id", postgresql_where=text("parent_task_id IS NOT NULL")),
    Index("runs_prune_idx", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
)

workflows = Table(
    "workflows",
    metadata,
    organization_id(key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("definition", JSON, nullable=False),
    # As it was sent, with its comments.
    Column("source", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_by", Text, nullable=False),
    created_at(),
)
