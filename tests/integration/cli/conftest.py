from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from taskengine.cli import main
from tests.integration.client.scripted import ScriptedApi

Run = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi().serving() as api:
        yield api


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, api: ScriptedApi) -> None:
    """An environment that leads to the scripted API, and a data directory of its own."""
    monkeypatch.setenv("TASKENGINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TASKENGINE_URL", api.url)
    monkeypatch.setenv("TASKENGINE_API_KEY", "te_from_the_environment")
    for name in ("DATABASE_URL", "REDIS_URL", "ENCRYPTION_KEY", "PORT"):
        monkeypatch.delenv(f"TASKENGINE_{name}", raising=False)


@pytest.fixture
def run(surroundings: None) -> Run:
    """Run a command line in this process."""

    def run(*args: str, input: str | None = None) -> Result:
        return CliRunner().invoke(main.build(), list(args), input=input, catch_exceptions=False)

    return run
