"""What task types remember, one-time codes, files of steps; parked tasks are due too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_DUE = "status IN ('deferred', 'retrying', 'waiting_input')"
_DUE_BEFORE = "status IN ('deferred', 'retrying')"


def upgrade() -> None:
    op.create_table(
        "memories",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("memories_organization_id_fkey")),
        sa.PrimaryKeyConstraint("organization_id", "space", "key", name=op.f("memories_pkey")),
    )
    op.create_index(
        "memories_expiry_idx", "memories", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_table(
        "one_time_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("one_time_codes_organization_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("one_time_codes_pkey")),
    )
    op.create_index(
        "one_time_codes_waiting_idx",
        "one_time_codes",
        ["organization_id", "identifier", "id"],
        postgresql_where=sa.text("used_at IS NULL"),
    )
    op.create_index(op.f("one_time_codes_expires_at_idx"), "one_time_codes", ["expires_at"])
    op.add_column("steps", sa.Column("files", sa.JSON(), nullable=True))
    op.drop_index("tasks_due_idx", table_name="tasks")
    op.create_index("tasks_due_idx", "tasks", ["run_at"], postgresql_where=sa.text(_DUE))


def downgrade() -> None:
    op.drop_index("tasks_due_idx", table_name="tasks")
    op.create_index("tasks_due_idx", "tasks", ["run_at"], postgresql_where=sa.text(_DUE_BEFORE))
    op.drop_column("steps", "files")
    op.drop_table("one_time_codes")
    op.drop_table("memories")
