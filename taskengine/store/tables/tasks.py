"""Tasks, steps and children of expansions alike, and what each depends on."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from taskengine.domain.states import FINAL, Kind, TaskStatus
from taskengine.store.tables.columns import created_at, metadata, moment, one_of

tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    Column("key", Text),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    Column("light", Boolean, nullable=False),
    Column("config", JSON, nullable=False),
    Column("description", Text),
    Column("assigned_to_bot", Boolean, nullable=False),
    Column("assigned_to", Text),
    Column("execution_type", Text, nullable=False),
    Column("requires_human_review", Boolean, nullable=False),
    Column("review", JSON(none_as_null=True)),
    moment("scheduled_for"),
    moment("deadline"),
    moment("expires_at"),
    Column("max_retries", Integer, nullable=False),
    Column("retry", JSON, nullable=False),
    Column("timeout_seconds", Double),
    Column("tags", ARRAY(Text), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("resource_requirements", JSON),
    Column("input_schema", JSON),
    Column("output_schema", JSON),
    Column("triggered", Boolean, nullable=False),
    Column("waiting_on", Integer, nullable=False),
    # Set by whoever adds an edge to this task, so that an end that waits for that writer's lock sees it.
    Column("has_dependents", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("error_count", Integer, nullable=False),
    Column("lost_count", Integer, nullable=False),
    Column("last_error", JSON),
    Column("result", JSON),
    Column("created_by", Text, nullable=False),
    created_at(),
    moment("updated_at", required=True),
    moment("queued_at"),
    moment("started_at"),
    moment("completed_at"),
    moment("run_at"),
    moment("cancel_requested_at"),
    Column("cancel_reason", Text),
    Column("run_id", Uuid),
    Column("group_id", Uuid),
    # The step or expansion that this row is a part of, and its place there.
    Column("parent_id", Uuid),
    Column("sequence_num", Integer),
    Column("kind", Text, nullable=False, server_default="task"),
    # Its place in the run's definition: ``tests.unit``, ``poll[2].ask``; of an expansion's child its identifier.
    Column("path", Text),
    # What ends when all rows of the same scope have ended: the parent, or the run.
    Column("scope_id", Uuid),
    # Waits for its parent to let it go; that counts as one more in ``waiting_on``.
    Column("gated", Boolean, nullable=False, server_default=text("false")),
    Column("run_on", Text, nullable=False, server_default="success"),
    Column("on_failure", Text, nullable=False, server_default="fail"),
    Column("upstream_bad", Integer, nullable=False, server_default=text("0")),
    # How an end looks to those that depend on it. A clean-up step hands on what it cleans up after.
    Column(
        "ended_bad",
        Boolean,
        Computed(
            "CASE status WHEN 'completed' THEN run_on <> 'success' AND upstream_bad > 0"
            " WHEN 'skipped' THEN last_error ->> 'code' = 'upstream_failed'"
            " WHEN 'failed' THEN on_failure <> 'continue' WHEN 'cancelled' THEN on_failure <> 'continue' END",
            persisted=True,
        ),
    ),
    Column("input", JSON),
    Column("expansion_config", JSON),
    # What a control step is to do, and how far it is; names that a child's templates see.
    Column("step", JSON),
    Column("state", JSON),
    Column("bindings", JSON),
    # Who is told of its end: {webhook_url (ciphertext), address, on_complete, on_failure}. Its end then counts as one
    # that matters to others (has_dependents), so that the messages are written with it.
    Column("announce", JSON(none_as_null=True)),
    # Paused because its run is; resumed with it.
    Column("held", Boolean, nullable=False, server_default=text("false")),
    # When a wait, or a step with a time limit, is over.
    moment("times_out_at"),
    CheckConstraint(one_of("status", [status.value for status in TaskStatus]), name="status"),
    CheckConstraint(
        f"({one_of('status', sorted(status.value for status in FINAL))}) = (completed_at IS NOT NULL)", name="ended"
    ),
    CheckConstraint("priority BETWEEN 1 AND 5", name="priority"),
    CheckConstraint("waiting_on >= 0", name="waiting_on"),
    CheckConstraint(one_of("kind", [kind.value for kind in Kind]), name="kind"),
    CheckConstraint("kind = 'task' OR status NOT IN ('queued', 'retrying')", name="worked"),
    CheckConstraint("run_on IN ('success', 'failure', 'always')", name="run_on"),
    CheckConstraint("on_failure IN ('fail', 'continue')", name="on_failure"),
    # Lists are read newest first within one organization; ids are UUIDv7, so the id is the time.
    Index(
        None,
        "organization_id",
        "id",
        # For reports, which so read no row of the table.
        postgresql_include=["status", "type", "queue", "kind", "error_count", "created_at", "completed_at"],
    ),
    Index(None, "organization_id", "status", "id"),
    Index(None, "organization_id", "type", "id"),
    Index(None, "organization_id", "queue", "id"),
    Index(None, "organization_id", "priority", "id"),
    Index(
        "tasks_assigned_idx",
        "organization_id",
        "assigned_to",
        "id",
        postgresql_where=text("assigned_to IS NOT NULL"),
    ),
    Index("tasks_run_idx", "run_id", "id", postgresql_where=text("run_id IS NOT NULL")),
    # How a run is doing: what of it is under way, and how many rows stand where.
    Index(
        "tasks_progress_idx", "run_id", "status", postgresql_where=text("run_id IS NOT NULL AND scope_id IS NOT NULL")
    ),
    Index("tasks_key_idx", "run_id", "key", "id", postgresql_where=text("run_id IS NOT NULL AND key IS NOT NULL")),
    Index("tasks_children_idx", "parent_id", "sequence_num", postgresql_where=text("parent_id IS NOT NULL")),
    # Lists of children, newest first like all lists.
    Index("tasks_parts_idx", "parent_id", "id", postgresql_where=text("parent_id IS NOT NULL")),
    # What is still open in a scope, those that go on by themselves apart from the gated.
    Index(
        "tasks_open_idx",
        "scope_id",
        "gated",
        "sequence_num",
        postgresql_where=text("scope_id IS NOT NULL AND completed_at IS NULL"),
    ),
    Index(
        "tasks_bad_idx",
        "scope_id",
        postgresql_where=text("scope_id IS NOT NULL AND status IN ('failed', 'cancelled')"),
    ),
    Index(
        "tasks_limit_idx", "times_out_at", postgresql_where=text("times_out_at IS NOT NULL AND completed_at IS NULL")
    ),
    # Steps that the engine itself is busy with: the reconciler looks after them.
    Index(
        "tasks_steps_idx",
        "kind",
        "status",
        postgresql_where=text("kind <> 'task' AND status IN ('running', 'waiting_input')"),
    ),
    Index("tasks_tags_idx", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
    Index(
        "tasks_search_idx",
        text("to_tsvector('simple', name || ' ' || coalesce(description, ''))"),
        postgresql_using="gin",
    ),
    Index("tasks_due_idx", "run_at", postgresql_where=text("status IN ('deferred', 'retrying', 'waiting_input')")),
    Index(
        "tasks_expiry_idx",
        "expires_at",
        postgresql_where=text(
            "expires_at IS NOT NULL AND started_at IS NULL AND status IN ('pending', 'deferred', 'queued', 'paused')"
        ),
    ),
    Index("tasks_prune_idx", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("depends_on_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "depends_on_id"),
)
