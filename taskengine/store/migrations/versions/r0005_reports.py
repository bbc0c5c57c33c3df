"""What reports read: attempts know their type and when they were queued; indexes that answer without the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TASKS = "tasks_organization_id_id_idx"
_DELIVERIES = "deliveries_organization_id_id_idx"


def upgrade() -> None:
    op.add_column("executions", sa.Column("type", sa.Text(), nullable=True))
    op.add_column("executions", sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True))
    # When it was queued is known of the latest attempt only.
    op.execute(
        """
        UPDATE executions e SET type = t.type,
            queued_at = CASE WHEN e.attempt = t.attempt AND t.queued_at <= e.started_at THEN t.queued_at END
        FROM tasks t WHERE t.id = e.task_id
        """
    )
    op.execute("UPDATE executions SET type = 'unknown' WHERE type IS NULL")
    op.alter_column("executions", "type", nullable=False)
    op.create_index(
        "executions_ended_idx",
        "executions",
        ["organization_id", "ended_at"],
        postgresql_include=["status", "type", "queue", "attempt", "queued_at", "started_at", "task_id"],
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "executions_failed_idx",
        "executions",
        ["organization_id", "ended_at"],
        postgresql_where=sa.text("status IN ('failed', 'timed_out', 'lost')"),
    )
    op.drop_index(_TASKS, "tasks")
    op.create_index(
        _TASKS,
        "tasks",
        ["organization_id", "id"],
        postgresql_include=["status", "type", "queue", "kind", "error_count", "created_at", "completed_at"],
    )
    op.drop_index(_DELIVERIES, "deliveries")
    op.create_index(
        _DELIVERIES,
        "deliveries",
        ["organization_id", "id"],
        postgresql_include=["status", "channel", "attempt", "created_at", "completed_at"],
    )


def downgrade() -> None:
    op.drop_index(_DELIVERIES, "deliveries")
    op.create_index(_DELIVERIES, "deliveries", ["organization_id", "id"])
    op.drop_index(_TASKS, "tasks")
    op.create_index(_TASKS, "tasks", ["organization_id", "id"])
    op.drop_index("executions_failed_idx", "executions")
    op.drop_index("executions_ended_idx", "executions")
    op.drop_column("executions", "queued_at")
    op.drop_column("executions", "type")
