"""One installation with real processes, on servers of its own that tests may kill."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.faults.load import Load
from tests.servers import Servers, running
from tests.stack import Stack, show_logs

WORKERS = ("worker-integration", "worker-integration-2")


@pytest.fixture(scope="package")
def doomed_servers() -> Iterator[Servers]:
    """Postgres and Redis that nobody else uses."""
    with running("taskengine-faults-") as servers:
        yield servers


@pytest.fixture(scope="package")
def _stack(doomed_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with doomed_servers.database() as url:
        made = Stack(
            doomed_servers,
            url,
            tmp_path_factory.mktemp("stack"),
            workers="integration=2,automation=0,browser=0,reporting=0",
            lease_seconds=2,
            lost_limit=20,
            cancel_poll_seconds=0.2,
            tick_seconds=0.3,
            relay_seconds=1,
        )
        made.copy("worker-integration", 2)
        try:
            yield made
        finally:
            made.close()


ALL = ("api", *WORKERS, "worker-control", "beat")


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """Everything up; what the last test killed is started again."""
    if "api" in _stack.names and _stack.differs("api"):
        _stack.stop("api")
    _stack.start(*(name for name in ALL if name not in _stack.names))
    _stack.wait_ready()
    return _stack


@pytest.fixture
def load(stack: Stack) -> Load:
    """Work to put on it, on an empty record."""
    stack.sql("TRUNCATE tasks, task_dependencies, executions, events, outbox, dead_letters CASCADE")
    return Load(stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the processes' logs where a test fails."""
    report = yield
    show_logs(item, report)
    return report
