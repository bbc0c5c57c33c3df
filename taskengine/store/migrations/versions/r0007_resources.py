"""What attempts used, what tasks need, and what workers have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("executions", sa.Column("cpu_seconds", sa.Double(), nullable=True))
    op.add_column("executions", sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("outbox", sa.Column("needs", sa.JSON(), nullable=True))
    op.add_column("outbox", sa.Column("sent_to", sa.Text(), nullable=True))
    op.add_column("workers", sa.Column("resources", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "resources")
    op.drop_column("outbox", "sent_to")
    op.drop_column("outbox", "needs")
    op.drop_column("executions", "peak_memory_bytes")
    op.drop_column("executions", "cpu_seconds")
