"""Organizations and what is theirs: keys for the API, secrets."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from taskengine.store.tables.columns import created_at, metadata, moment, organization_id

organizations = Table(
    "organizations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    created_at(),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization_id(),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    created_at(),
    moment("expires_at"),
    moment("revoked_at"),
    Index(None, "organization_id", "id"),
)

secrets = Table(
    "secrets",
    metadata,
    organization_id(key=True),
    Column("name", Text, primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    created_at(),
    moment("updated_at", required=True),
)
