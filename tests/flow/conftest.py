"""One installation with real processes for all flow tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.servers import Servers
from tests.stack import Stack, show_logs

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="package")
def stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything but Flower, with a package that brings task types, and a user's Celery app."""
    with servers.database() as url:
        servers.flush()
        made = Stack(
            servers,
            url,
            tmp_path_factory.mktemp("stack"),
            pythonpath=[PLUGIN],
            workers="integration=2,automation=2,browser=1,reporting=0",
            celery_app="shop_app:app",
            lease_seconds=3,
            cancel_grace_seconds=1,
            cancel_poll_seconds=0.2,
            tick_seconds=0.3,
            relay_seconds=1,
            egress_allow="127.0.0.1",
            flower_auth="admin:flower-password",
        )
        try:
            made.start("api", "worker-browser", "worker-integration", "worker-automation", "worker-control", "beat")
            made.wait_ready()
            yield made
        finally:
            made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the processes' logs where a test fails."""
    report = yield
    show_logs(item, report)
    return report
