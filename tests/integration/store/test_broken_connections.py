"""What Postgres cuts off: a process that froze inside a transaction, and connections that an operator ends."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from taskengine.domain.errors import Unavailable
from taskengine.lifecycle.engine import Engine
from taskengine.store.database import IDLE_SECONDS
from tests.stack import eventually

_ONE = text("SELECT 1")


@pytest.fixture
def operator(engine: Engine, database_url: str) -> Iterator[psycopg.Connection]:
    """A session of somebody else."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_an_idle_transaction_is_cut_off(engine: Engine, operator: psycopg.Connection) -> None:
    with engine.db.begin() as conn:
        assert conn.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == f"{IDLE_SECONDS}s"
    with pytest.raises(Unavailable), engine.db.begin() as conn:
        pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 20"))
        alive = "SELECT FROM pg_stat_activity WHERE pid = %s"
        eventually(lambda: operator.execute(alive, [pid]).fetchone() is None, 10, "Postgres ended the session")
        conn.execute(_ONE)
    with engine.db.autocommit() as conn:
        assert conn.execute(_ONE).scalar_one() == 1


def test_after_its_connections_were_ended_one_use_fails_and_the_next_works(
    engine: Engine, operator: psycopg.Connection
) -> None:
    with engine.db.autocommit() as first, engine.db.sqlalchemy.connect() as second:
        first.execute(_ONE)
        second.execute(_ONE)
    operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'taskengine'")
    with pytest.raises(Unavailable), engine.db.autocommit() as conn:
        conn.execute(_ONE)
    for _ in range(3):
        with engine.db.begin() as conn:
            assert conn.execute(_ONE).scalar_one() == 1


def test_a_wrong_statement_is_no_outage(engine: Engine) -> None:
    with pytest.raises(ProgrammingError), engine.db.begin() as conn:
        conn.execute(text("SELECT nonsense"))
