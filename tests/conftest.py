"""Fixtures that every test may use: real servers, an engine on a fresh database, a caller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import hypothesis
import pytest

from config.settings import Settings
from taskengine import runtime
from taskengine.domain.task import Caller, TaskSpec
from taskengine.lifecycle import keys, query
from taskengine.lifecycle.consume import consume
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.submit import submit
from taskengine.lifecycle.watch import Watch
from taskengine.store.cipher import new_key
from tests.servers import Servers, running

# How long examples take to make says more about the machine than about the code.
hypothesis.settings.register_profile("patient", suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name, for ``--dist loadgroup``, the tests that share an installation: they stay in one process."""
    for item in items:
        if item.path.parent.name in {"flow", "faults"}:
            own = item.path.stem == "test_documentation"
            item.add_marker(pytest.mark.xdist_group(item.path.stem if own else item.path.parent.name))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Postgres and Redis for the whole run."""
    with running("taskengine-tests-") as servers:
        yield servers


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """A fresh, migrated database."""
    with servers.database() as url:
        yield url


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Redis."""
    servers.flush()
    return servers.redis_url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation on fresh servers, with short times."""
    return Settings(
        home=tmp_path,
        database_url=database_url,
        redis_url=redis_url,
        encryption_key=new_key(),
        lease_seconds=2,
        cancel_grace_seconds=0.5,
        cancel_poll_seconds=0.1,
        relay_seconds=0.5,
        stretch_seconds=0,
        egress_allow="127.0.0.1",
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine with its default organization made."""
    yield from _built(settings)


@pytest.fixture(scope="module")
def engine_of_module(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all tests of a module, none of which may leave anything."""
    home = tmp_path_factory.mktemp("home")
    with servers.database() as url:
        yield from _built(Settings(home=home, database_url=url, redis_url=servers.redis_url, encryption_key=new_key()))


def _built(settings: Settings) -> Iterator[Engine]:
    made = runtime.build(settings)
    keys.bootstrap(made)
    yield made
    made.close()


@pytest.fixture
def caller(engine: Engine) -> Caller:
    """The default organization, with all scopes."""
    return keys.local_caller(engine)


class Bench:
    """Submits tasks and works them off in the test's own process, message by message."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self.engine, self.caller = engine, caller
        self.stuck: list[Any] = []
        self.watch = Watch(engine, lambda attempt, held: self.stuck.append((attempt, held)))

    def submit(self, *specs: dict[str, Any]) -> list[UUID]:
        """Submit tasks; each spec is laid over an echo task."""
        base = {"name": "test", "type": "echo", "config": {"message": "hello"}}
        return submit(self.engine, self.caller, [TaskSpec.model_validate(base | spec) for spec in specs])

    def work(self, *ids: UUID) -> int:
        """Let a worker take these tasks in one message; returns how many attempts were recorded."""
        return consume(self.engine, self.watch, "integration", [(i, self.next_attempt(i)) for i in ids], "tester")

    def next_attempt(self, task_id: UUID) -> int:
        """The number that a message for this task would carry."""
        return int(self.task(task_id)["attempt"]) + 1

    def task(self, task_id: UUID) -> dict[str, Any]:
        """The task as clients see it."""
        return query.task(self.engine, self.caller, task_id)

    def statuses(self, ids: Sequence[UUID]) -> list[str]:
        """The statuses of several tasks."""
        return [self.task(task_id)["status"] for task_id in ids]

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Look into (or bend) the record behind the engine's back."""
        from sqlalchemy import text

        with self.engine.db.autocommit() as conn:
            result = conn.execute(text(statement), values)
            return list(result) if result.returns_rows else []


@pytest.fixture
def bench(engine: Engine, caller: Caller) -> Iterator[Bench]:
    """Submit and work off tasks in this process."""
    made = Bench(engine, caller)
    yield made
    made.watch.close()
