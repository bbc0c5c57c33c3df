"""The tables of the record. The database itself checks what must go together.

Payloads (config, result, error …) are ``json``, not ``jsonb``: they are stored and handed back, never searched,
and keep the order and the numbers that the client sent.

The tables that every task writes several rows to (tasks, executions, events, outbox) carry no foreign keys: each
row is made by the statement that just wrote its parent, a check per row would cost a tenth of the throughput, and
the key share locks on one organization's row would queue up all its writers. ``prune`` and ``delete`` clean up.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from taskengine.domain.states import FINAL, RUN_FINAL, ExecutionStatus, Kind, RunStatus, TaskStatus

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _in(column: str, values: list[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _time(name: str, *, required: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not required)


def _created() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _organization() -> Column[object]:
    return Column("organization_id", Uuid, ForeignKey("organizations.id"), nullable=False)


FINAL_NAMES = sorted(status.value for status in FINAL)

organizations = Table(
    "organizations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _created(),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    _created(),
    _time("expires_at"),
    _time("revoked_at"),
    Index(None, "organization_id", "id"),
)

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
    Column("review", JSON),
    _time("scheduled_for"),
    _time("deadline"),
    _time("expires_at"),
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
    _created(),
    _time("updated_at", required=True),
    _time("queued_at"),
    _time("started_at"),
    _time("completed_at"),
    _time("run_at"),
    _time("cancel_requested_at"),
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
    # Paused because its run is; resumed with it.
    Column("held", Boolean, nullable=False, server_default=text("false")),
    # When a wait, or a step with a time limit, is over.
    _time("times_out_at"),
    CheckConstraint(_in("status", [status.value for status in TaskStatus]), name="status"),
    CheckConstraint(f"({_in('status', FINAL_NAMES)}) = (completed_at IS NOT NULL)", name="ended"),
    CheckConstraint("priority BETWEEN 1 AND 5", name="priority"),
    CheckConstraint("waiting_on >= 0", name="waiting_on"),
    CheckConstraint(_in("kind", [kind.value for kind in Kind]), name="kind"),
    CheckConstraint("kind = 'task' OR status NOT IN ('queued', 'retrying')", name="worked"),
    CheckConstraint("run_on IN ('success', 'failure', 'always')", name="run_on"),
    CheckConstraint("on_failure IN ('fail', 'continue')", name="on_failure"),
    # Lists are read newest first within one organization; ids are UUIDv7, so the id is the time.
    Index(None, "organization_id", "id"),
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
    Index("tasks_due_idx", "run_at", postgresql_where=text("status IN ('deferred', 'retrying')")),
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

executions = Table(
    "executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("worker", Text, nullable=False),
    _time("started_at", required=True),
    _time("ended_at"),
    _time("lease_until"),
    Column("progress", JSON),
    Column("error", JSON),
    CheckConstraint(_in("status", [status.value for status in ExecutionStatus]), name="status"),
    CheckConstraint("(status = 'running') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="leased"),
    UniqueConstraint("task_id", "attempt"),
    Index("executions_lease_idx", "lease_until", postgresql_where=text("status = 'running'")),
)

steps = Table(
    "steps",
    metadata,
    Column("execution_id", Uuid, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    _time("started_at", required=True),
    _time("ended_at", required=True),
    Column("result", JSON),
    Column("error", JSON),
)

execution_logs = Table(
    "execution_logs",
    metadata,
    Column("execution_id", Uuid, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    _time("at", required=True),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("fields", JSON),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("execution_id", Uuid, ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    _created(),
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
    _created(),
    Index(None, "task_id", "id"),
    Index("events_run_idx", "run_id", "id", postgresql_where=text("run_id IS NOT NULL")),
)

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
    _time("times_out_at"),
    # The step of another run that waits for this one, and how deep that goes.
    Column("parent_task_id", Uuid),
    Column("depth", Integer, nullable=False),
    _time("cancel_requested_at"),
    Column("cancel_reason", Text),
    Column("created_by", Text, nullable=False),
    _created(),
    _time("updated_at", required=True),
    _time("started_at"),
    _time("completed_at"),
    CheckConstraint(_in("status", [status.value for status in RunStatus if status != "waiting"]), name="status"),
    CheckConstraint(
        f"({_in('status', sorted(status.value for status in RUN_FINAL))}) = (completed_at IS NOT NULL)", name="ended"
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
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("definition", JSON, nullable=False),
    # As it was sent, with its comments.
    Column("source", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_by", Text, nullable=False),
    _created(),
)

outbox = Table(
    "outbox",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("light", Boolean, nullable=False),
    _time("expires_at"),
    _time("enqueued_at", required=True),
    _time("published_at"),
    # The dispatcher walks this per queue and organization, the relay the other.
    Index(
        "outbox_ready_idx",
        "queue",
        "organization_id",
        text("priority DESC"),
        text("urgency DESC"),
        "task_id",
        postgresql_where=text("published_at IS NULL"),
    ),
    Index("outbox_rung_idx", "queue", "published_at", postgresql_where=text("published_at IS NOT NULL")),
    Index(None, "queue", "enqueued_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("error", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    _created(),
    _time("redriven_at"),
    Index("dead_letters_open_idx", "organization_id", "id", postgresql_where=text("redriven_at IS NULL")),
    *(
        Index(f"dead_letters_{name}_idx", "organization_id", name, "id", postgresql_where=text("redriven_at IS NULL"))
        for name in ("type", "queue", "code")
    ),
    Index(None, "task_id"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    _created(),
    _time("updated_at", required=True),
)

queues = Table(
    "queues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("draining", Boolean, nullable=False),
    _time("canary_sent_at"),
    _time("canary_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("pool_size", Integer, nullable=False),
    _time("started_at", required=True),
    _time("seen_at", required=True),
)

leaders = Table(
    "leaders",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    _time("held_until", required=True),
    _time("acted_at", required=True),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("route", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _created(),
    Index(None, "created_at"),
)
