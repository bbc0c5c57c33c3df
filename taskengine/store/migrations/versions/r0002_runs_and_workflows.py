"""Runs, their steps, expansions and registered workflows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("signals", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("timeout_seconds", sa.Double(), nullable=True),
        sa.Column("times_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parent_task_id", sa.Uuid(), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status IN ('cancelled', 'completed', 'failed')) = (completed_at IS NOT NULL)",
            name=op.f("runs_ended_check"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')",
            name=op.f("runs_status_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("runs_pkey")),
    )
    op.create_index(
        "runs_limit_idx",
        "runs",
        ["times_out_at"],
        unique=False,
        postgresql_where=sa.text("times_out_at IS NOT NULL AND completed_at IS NULL"),
    )
    op.create_index("runs_open_idx", "runs", ["id"], unique=False, postgresql_where=sa.text("completed_at IS NULL"))
    op.create_index(op.f("runs_organization_id_id_idx"), "runs", ["organization_id", "id"], unique=False)
    op.create_index(
        op.f("runs_organization_id_status_id_idx"), "runs", ["organization_id", "status", "id"], unique=False
    )
    op.create_index(
        op.f("runs_organization_id_workflow_id_idx"), "runs", ["organization_id", "workflow", "id"], unique=False
    )
    op.create_index(
        "runs_parent_idx",
        "runs",
        ["parent_task_id"],
        unique=False,
        postgresql_where=sa.text("parent_task_id IS NOT NULL"),
    )
    op.create_index(
        "runs_prune_idx", "runs", ["completed_at"], unique=False, postgresql_where=sa.text("completed_at IS NOT NULL")
    )
    op.create_table(
        "workflows",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("workflows_organization_id_fkey")),
        sa.PrimaryKeyConstraint("organization_id", "name", "version", name=op.f("workflows_pkey")),
    )
    op.add_column("events", sa.Column("run_id", sa.Uuid(), nullable=True))
    op.alter_column("events", "task_id", existing_type=sa.UUID(), nullable=True)
    op.create_index(
        "events_run_idx", "events", ["run_id", "id"], unique=False, postgresql_where=sa.text("run_id IS NOT NULL")
    )
    op.add_column("tasks", sa.Column("kind", sa.Text(), server_default="task", nullable=False))
    op.add_column("tasks", sa.Column("path", sa.Text(), nullable=True))
    op.add_column("tasks", sa.Column("scope_id", sa.Uuid(), nullable=True))
    op.add_column("tasks", sa.Column("gated", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("tasks", sa.Column("run_on", sa.Text(), server_default="success", nullable=False))
    op.add_column("tasks", sa.Column("on_failure", sa.Text(), server_default="fail", nullable=False))
    op.add_column("tasks", sa.Column("upstream_bad", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column(
        "tasks",
        sa.Column(
            "ended_bad",
            sa.Boolean(),
            sa.Computed(
                "CASE status WHEN 'completed' THEN run_on <> 'success' AND upstream_bad > 0 WHEN 'skipped' THEN last_error ->> 'code' = 'upstream_failed' WHEN 'failed' THEN on_failure <> 'continue' WHEN 'cancelled' THEN on_failure <> 'continue' END",
                persisted=True,
            ),
            nullable=True,
        ),
    )
    op.add_column("tasks", sa.Column("input", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("expansion_config", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("step", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("state", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("bindings", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("tasks", sa.Column("times_out_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "tasks_bad_idx",
        "tasks",
        ["scope_id"],
        unique=False,
        postgresql_where=sa.text("scope_id IS NOT NULL AND status IN ('failed', 'cancelled')"),
    )
    op.create_index(
        "tasks_children_idx",
        "tasks",
        ["parent_id", "sequence_num"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "tasks_key_idx",
        "tasks",
        ["run_id", "key", "id"],
        unique=False,
        postgresql_where=sa.text("run_id IS NOT NULL AND key IS NOT NULL"),
    )
    op.create_index(
        "tasks_limit_idx",
        "tasks",
        ["times_out_at"],
        unique=False,
        postgresql_where=sa.text("times_out_at IS NOT NULL AND completed_at IS NULL"),
    )
    op.create_index(
        "tasks_open_idx",
        "tasks",
        ["scope_id", "gated", "sequence_num"],
        unique=False,
        postgresql_where=sa.text("scope_id IS NOT NULL AND completed_at IS NULL"),
    )
    op.create_index(
        "tasks_parts_idx",
        "tasks",
        ["parent_id", "id"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "tasks_progress_idx",
        "tasks",
        ["run_id", "status"],
        unique=False,
        postgresql_where=sa.text("run_id IS NOT NULL AND scope_id IS NOT NULL"),
    )
    op.create_index(
        "tasks_steps_idx",
        "tasks",
        ["kind", "status"],
        unique=False,
        postgresql_where=sa.text("kind <> 'task' AND status IN ('running', 'waiting_input')"),
    )
    op.create_check_constraint(
        op.f("tasks_kind_check"),
        "tasks",
        "kind IN ('task', 'expansion', 'group', 'parallel', 'sequential', 'conditional', 'loop', 'wait', 'workflow')",
    )
    op.create_check_constraint(
        op.f("tasks_worked_check"), "tasks", "kind = 'task' OR status NOT IN ('queued', 'retrying')"
    )
    op.create_check_constraint(op.f("tasks_run_on_check"), "tasks", "run_on IN ('success', 'failure', 'always')")
    op.create_check_constraint(op.f("tasks_on_failure_check"), "tasks", "on_failure IN ('fail', 'continue')")


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE task_id IS NULL")
    op.drop_constraint(op.f("tasks_kind_check"), "tasks")
    op.drop_constraint(op.f("tasks_worked_check"), "tasks")
    op.drop_constraint(op.f("tasks_run_on_check"), "tasks")
    op.drop_constraint(op.f("tasks_on_failure_check"), "tasks")
    op.drop_index(
        "tasks_steps_idx",
        table_name="tasks",
        postgresql_where=sa.text("kind <> 'task' AND status IN ('running', 'waiting_input')"),
    )
    op.drop_index(
        "tasks_progress_idx",
        table_name="tasks",
        postgresql_where=sa.text("run_id IS NOT NULL AND scope_id IS NOT NULL"),
    )
    op.drop_index("tasks_parts_idx", table_name="tasks", postgresql_where=sa.text("parent_id IS NOT NULL"))
    op.drop_index(
        "tasks_open_idx", table_name="tasks", postgresql_where=sa.text("scope_id IS NOT NULL AND completed_at IS NULL")
    )
    op.drop_index(
        "tasks_limit_idx",
        table_name="tasks",
        postgresql_where=sa.text("times_out_at IS NOT NULL AND completed_at IS NULL"),
    )
    op.drop_index(
        "tasks_key_idx", table_name="tasks", postgresql_where=sa.text("run_id IS NOT NULL AND key IS NOT NULL")
    )
    op.drop_index("tasks_children_idx", table_name="tasks", postgresql_where=sa.text("parent_id IS NOT NULL"))
    op.drop_index(
        "tasks_bad_idx",
        table_name="tasks",
        postgresql_where=sa.text("scope_id IS NOT NULL AND status IN ('failed', 'cancelled')"),
    )
    op.drop_column("tasks", "times_out_at")
    op.drop_column("tasks", "held")
    op.drop_column("tasks", "bindings")
    op.drop_column("tasks", "state")
    op.drop_column("tasks", "step")
    op.drop_column("tasks", "expansion_config")
    op.drop_column("tasks", "input")
    op.drop_column("tasks", "ended_bad")
    op.drop_column("tasks", "upstream_bad")
    op.drop_column("tasks", "on_failure")
    op.drop_column("tasks", "run_on")
    op.drop_column("tasks", "gated")
    op.drop_column("tasks", "scope_id")
    op.drop_column("tasks", "path")
    op.drop_column("tasks", "kind")
    op.drop_index("events_run_idx", table_name="events", postgresql_where=sa.text("run_id IS NOT NULL"))
    op.alter_column("events", "task_id", existing_type=sa.UUID(), nullable=False)
    op.drop_column("events", "run_id")
    op.drop_table("workflows")
    op.drop_index("runs_prune_idx", table_name="runs", postgresql_where=sa.text("completed_at IS NOT NULL"))
    op.drop_index("runs_parent_idx", table_name="runs", postgresql_where=sa.text("parent_task_id IS NOT NULL"))
    op.drop_index(op.f("runs_organization_id_workflow_id_idx"), table_name="runs")
    op.drop_index(op.f("runs_organization_id_status_id_idx"), table_name="runs")
    op.drop_index(op.f("runs_organization_id_id_idx"), table_name="runs")
    op.drop_index("runs_open_idx", table_name="runs", postgresql_where=sa.text("completed_at IS NULL"))
    op.drop_index(
        "runs_limit_idx",
        table_name="runs",
        postgresql_where=sa.text("times_out_at IS NOT NULL AND completed_at IS NULL"),
    )
    op.drop_table("runs")
