"""What keeps work going: the line, dead letters, queues, workers, leaders, and requests that were answered."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from taskengine.store.tables.columns import created_at, metadata, moment, organization_id

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
    moment("expires_at"),
    # What a worker must have to take it; empty: nothing in particular.
    Column("needs", JSON),
    # The worker that has it, where that was chosen for it.
    Column("sent_to", Text),
    moment("enqueued_at", required=True),
    moment("published_at"),
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
    organization_id(),
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("error", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    created_at(),
    moment("redriven_at"),
    Index("dead_letters_open_idx", "organization_id", "id", postgresql_where=text("redriven_at IS NULL")),
    *(
        Index(f"dead_letters_{name}_idx", "organization_id", name, "id", postgresql_where=text("redriven_at IS NULL"))
        for name in ("type", "queue", "code")
    ),
    Index(None, "task_id"),
)

queues = Table(
    "queues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("draining", Boolean, nullable=False),
    moment("canary_sent_at"),
    moment("canary_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("pool_size", Integer, nullable=False),
    # What its machine has, in the words of resource_requirements.
    Column("resources", JSON),
    moment("started_at", required=True),
    moment("seen_at", required=True),
)

leaders = Table(
    "leaders",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    moment("held_until", required=True),
    moment("acted_at", required=True),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    organization_id(key=True),
    Column("key", Text, primary_key=True),
    Column("route", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    created_at(),
    Index(None, "created_at"),
)
