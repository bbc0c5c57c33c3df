"""Agents, and functions granted to organizations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("capabilities", ARRAY(sa.Text()), nullable=False),
        sa.Column("max_concurrent", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("max_concurrent > 0", name=op.f("agents_max_concurrent_check")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("agents_organization_id_fkey")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("agents_pkey")),
    )
    op.create_table(
        "function_grants",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("function_grants_organization_id_fkey")
        ),
        sa.PrimaryKeyConstraint("organization_id", "function", name=op.f("function_grants_pkey")),
    )


def downgrade() -> None:
    op.drop_table("function_grants")
    op.drop_table("agents")
