"""What goes out, and to whom: deliveries, the key that signs them, members and groups."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from taskengine.store.tables.columns import created_at, metadata, moment, organization_id

# No foreign keys: rows are written by the statements that end tasks, and a message goes out although its task is
# deleted meanwhile.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=False),
    Column("task_id", Uuid),
    Column("run_id", Uuid),
    Column("type", Text, nullable=False),
    Column("channel", Text, nullable=False),
    # As it was named: owner, a member, an address.
    Column("recipient", Text, nullable=False),
    # The target as it may be shown, and in full as ciphertext: addresses of webhooks are credentials.
    Column("address", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    # Ciphertext of the payload where it holds a secret; ``payload`` shows stars there.
    Column("sealed_payload", Text),
    Column("dedupe_key", Text, nullable=False),
    Column("status", Text, nullable=False),
    # Number of the last attempt, and how many there may be.
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    # [{number, started_at, ended_at, outcome, status, answer, error}]
    Column("attempts", JSON, nullable=False),
    Column("last_error", JSON(none_as_null=True)),
    moment("next_attempt_at"),
    moment("started_at"),
    moment("lease_until"),
    created_at(),
    moment("updated_at", required=True),
    moment("completed_at"),
    CheckConstraint("status IN ('pending', 'sending', 'delivered', 'failed')", name="status"),
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="waiting"),
    CheckConstraint("(status = 'sending') = (lease_until IS NOT NULL)", name="leased"),
    CheckConstraint("(status IN ('delivered', 'failed')) = (completed_at IS NOT NULL)", name="ended"),
    UniqueConstraint("organization_id", "dedupe_key"),
    Index(
        "deliveries_due_idx", "organization_id", "next_attempt_at", "id", postgresql_where=text("status = 'pending'")
    ),
    Index("deliveries_next_idx", "next_attempt_at", postgresql_where=text("status = 'pending'")),
    Index(
        "deliveries_reminder_idx",
        "organization_id",
        "next_attempt_at",
        "id",
        postgresql_where=text("status = 'pending' AND type = 'reminder'"),
    ),
    Index("deliveries_lease_idx", "lease_until", postgresql_where=text("status = 'sending'")),
    Index("deliveries_ended_idx", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
    Index(
        None,
        "organization_id",
        "id",
        # For reports.
        postgresql_include=["status", "channel", "attempt", "created_at", "completed_at"],
    ),
    Index(None, "organization_id", "status", "id"),
    Index("deliveries_task_idx", "task_id", "id", postgresql_where=text("task_id IS NOT NULL")),
    Index("deliveries_run_idx", "run_id", "id", postgresql_where=text("run_id IS NOT NULL")),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    organization_id(key=True),
    Column("ciphertext", Text, nullable=False),
    # The one before, which signs as well for a day after the change.
    Column("previous", Text),
    created_at(),
    moment("updated_at", required=True),
)

members = Table(
    "members",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization_id(),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("email", Text),
    # Ciphertexts: who knows such an address can write there.
    Column("slack_url", Text),
    Column("webhook_url", Text),
    # In the member's order; empty: whatever there is an address for.
    Column("channels", ARRAY(Text), nullable=False),
    created_at(),
    moment("updated_at", required=True),
    CheckConstraint("role IN ('owner', 'member')", name="role"),
    UniqueConstraint("organization_id", "name"),
    Index(None, "organization_id", "role"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization_id(),
    Column("name", Text, nullable=False),
    created_at(),
    moment("updated_at", required=True),
    UniqueConstraint("organization_id", "name"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", Uuid, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("member_id", Uuid, ForeignKey("members.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "member_id"),
)
