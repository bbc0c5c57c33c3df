"""What task types keep from one attempt or task to the next, and one-time codes that were sent in."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, LargeBinary, Table, Text, Uuid, text

from taskengine.store.tables.columns import created_at, metadata, moment, organization_id

memories = Table(
    "memories",
    metadata,
    organization_id(key=True),
    Column("space", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    # One of the two: in clear, or encrypted.
    Column("value", JSON),
    Column("ciphertext", LargeBinary),
    moment("updated_at", required=True),
    moment("expires_at"),
    Index("memories_expiry_idx", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

one_time_codes = Table(
    "one_time_codes",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization_id(),
    Column("identifier", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    created_at(),
    moment("expires_at", required=True),
    moment("used_at"),
    Index(
        "one_time_codes_waiting_idx",
        "organization_id",
        "identifier",
        "id",
        postgresql_where=text("used_at IS NULL"),
    ),
    Index(None, "expires_at"),
)
