"""Agents, and functions that the operator granted to organizations."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from taskengine.store.tables.columns import created_at, metadata, moment, organization_id

agents = Table(
    "agents",
    metadata,
    organization_id(key=True),
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("capabilities", ARRAY(Text), nullable=False),
    Column("max_concurrent", Integer, nullable=False),
    created_at(),
    moment("updated_at", required=True),
    # By any request of the agent: it is alive while this is young.
    moment("seen_at", required=True),
    CheckConstraint("max_concurrent > 0", name="max_concurrent"),
)

function_grants = Table(
    "function_grants",
    metadata,
    organization_id(key=True),
    Column("function", Text, primary_key=True),
    created_at(),
)
