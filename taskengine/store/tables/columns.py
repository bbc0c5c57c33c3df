"""What the tables share: one ``metadata``, columns that many have, and conditions."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Column, DateTime, ForeignKey, MetaData, Uuid, func

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def one_of(column: str, values: Iterable[str]) -> str:
    """The condition that a column holds one of these values."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def moment(name: str, *, required: bool = False) -> Column[object]:
    """A column that holds a time."""
    return Column(name, DateTime(timezone=True), nullable=not required)


def created_at() -> Column[object]:
    """When a row was made, by the clock of the database."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def organization_id(*, key: bool = False) -> Column[object]:
    """Whose a row is; ``key`` says that it is a part of the primary key."""
    return Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=key, nullable=False)
