"""The migrations make the tables that the code knows, once, and can be taken back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from taskengine.store import migrate as migrations
from taskengine.store.database import driver_url
from taskengine.store.tables import metadata
from tests.servers import Servers

_CHECKS = text(
    """
    SELECT conrelid::regclass::text AS "table", conname AS name, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace
    """
)
_GENERATED = text(
    """
    SELECT adrelid::regclass::text AS "table", attname AS name, pg_get_expr(adbin, adrelid) AS definition
    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE attgenerated <> ''
    """
)
_INDEXES = text("SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")


REVISIONS = ["0001", "0002", "0003", "0004", "0005", "0006", "0007"]


def emptied(url: str) -> None:
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


def details(url: str) -> tuple[set[tuple[object, ...]], set[tuple[object, ...]]]:
    """Checks, generated columns and indexes in full: compare_metadata does not look into those."""
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        checks = {tuple(row) for row in connection.execute(_CHECKS) if row.table != "alembic_version"}
        checks |= {tuple(row) for row in connection.execute(_GENERATED)}
        indexes = {tuple(row) for row in connection.execute(_INDEXES) if row.tablename != "alembic_version"}
    engine.dispose()
    return checks, indexes


def comparable(thing: object, name: str | None, kind: str, *_: object) -> bool:
    """Alembic cannot compare indexes over expressions; the test of definitions does."""
    return name != "tasks_search_idx"


# Postgres writes the expression of a generated column in its own words; the next test compares those.
@pytest.mark.filterwarnings("ignore:Computed default on tasks.ended_bad")
def test_migrated_tables_are_the_tables_of_the_code(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": comparable}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_checks_and_indexes_are_those_of_the_code(database_url: str, servers: Servers) -> None:
    migrated = details(database_url)
    emptied(database_url)
    engine = create_engine(driver_url(database_url))
    metadata.create_all(engine)
    engine.dispose()
    assert details(database_url) == migrated


def test_a_migrated_database_has_nothing_pending(database_url: str) -> None:
    assert migrations.pending(database_url) == []
    assert migrations.migrate(database_url) == []


def test_two_processes_that_start_together_migrate_once(database_url: str) -> None:
    emptied(database_url)
    assert migrations.pending(database_url) == REVISIONS
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrations.migrate(database_url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], REVISIONS]


def test_the_migrations_can_be_taken_back(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
    engine.dispose()
    assert left == ["alembic_version"]
