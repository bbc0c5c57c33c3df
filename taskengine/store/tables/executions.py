"""What happened: attempts with their steps, logs and artifacts, and the log of all changes."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from taskengine.domain.states import ExecutionStatus
from taskengine.store.tables.columns import created_at, metadata, moment, one_of, organization_id

executions = Table(
    "executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", Text, nullable=False),
    # Of the task, as they were then: reports group by them without reading the tasks.
    Column("type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("worker", Text, nullable=False),
    moment("queued_at"),
    moment("started_at", required=True),
    moment("ended_at"),
    moment("lease_until"),
    Column("progress", JSON),
    Column("error", JSON),
    # What it used, its child processes included.
    Column("cpu_seconds", Double),
    Column("peak_memory_bytes", BigInteger),
    CheckConstraint(one_of("status", [status.value for status in ExecutionStatus]), name="status"),
    CheckConstraint("(status = 'running') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="leased"),
    UniqueConstraint("task_id", "attempt"),
    Index("executions_lease_idx", "lease_until", postgresql_where=text("status = 'running'")),
    # All that reports need of an attempt, in the order in which attempts end.
    Index(
        "executions_ended_idx",
        "organization_id",
        "ended_at",
        postgresql_include=["status", "type", "queue", "attempt", "queued_at", "started_at", "task_id"],
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    # Whose error is worth reading.
    Index(
        "executions_failed_idx",
        "organization_id",
        "ended_at",
        postgresql_where=text("status IN ('failed', 'timed_out', 'lost')"),
    ),
)

steps = Table(
    "steps",
    metadata,
    Column("execution_id", Uuid, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    moment("started_at", required=True),
    moment("ended_at", required=True),
    Column("result", JSON),
    Column("error", JSON),
    # What is shown with it: a list of {kind, id, name}.
    Column("files", JSON),
)

execution_logs = Table(
    "execution_logs",
    metadata,
    Column("execution_id", Uuid, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    moment("at", required=True),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("fields", JSON),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization_id(),
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("execution_id", Uuid, ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    created_at(),
    Index(None, "task_id", "id"),
    Index(None, "execution_id"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    # Empty where the run itself moved.
    Column("task_id", Uuid),
    Column("run_id", Uuid),
    Column("type", Text, nullable=False),
    Column("from_status", Text),
    Column("to_status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("data", JSON),
    created_at(),
    Index(None, "task_id", "id"),
    Index("events_run_idx", "run_id", "id", postgresql_where=text("run_id IS NOT NULL")),
)
