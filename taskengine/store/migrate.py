"""Brings a database's schema up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from taskengine.store.database import driver_url

# Two processes that start together must not migrate together.
_LOCK = 0x7A5C_E61E


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _missing(connection: Connection) -> list[str]:
    script = ScriptDirectory.from_config(_config())
    current = MigrationContext.configure(connection).get_current_revision()
    return [revision.revision for revision in script.iterate_revisions("head", current or "base")][::-1]


def pending(url: str) -> list[str]:
    """The revisions that ``migrate`` would apply, oldest first."""
    engine = create_engine(driver_url(url))
    try:
        with engine.connect() as connection:
            return _missing(connection)
    finally:
        engine.dispose()


def migrate(url: str) -> list[str]:
    """Apply what is missing, in one transaction; returns the applied revisions, oldest first."""
    engine = create_engine(driver_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            missing = _missing(connection)
            if missing:
                command.upgrade(_config(connection), "head")
            return missing
    finally:
        engine.dispose()
