"""The API as operators run it: its WSGI server in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from config import server
from config.settings import Settings
from taskengine.domain.task import Caller
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine

_START_SECONDS = 30


@dataclass(frozen=True)
class Served:
    """Where the API listens, and an admin key for it."""

    url: str
    port: int
    key: str


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(settings: Settings) -> dict[str, str]:
    assert settings.encryption_key is not None
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKENGINE_")}
    return kept | {
        "TASKENGINE_HOME": str(settings.home),
        "TASKENGINE_DATABASE_URL": settings.database_url or "",
        "TASKENGINE_REDIS_URL": settings.redis_url or "",
        "TASKENGINE_ENCRYPTION_KEY": settings.encryption_key.get_secret_value(),
        "TASKENGINE_MAX_BODY_BYTES": str(16 * 2**20),
    }


@pytest.fixture
def served(engine: Engine, caller: Caller, settings: Settings, tmp_path: Path) -> Iterator[Served]:
    """A running API; its log is shown if the test fails."""
    port = _free_port()
    log = tmp_path / "api.log"
    command = [str(Path(sys.executable).with_name("granian")), "--interface", server.INTERFACE, "--no-ws"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--blocking-threads", "8", server.APP]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_environment(settings), stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, process)
        yield Served(url, port, keys.create(engine, caller, "contract", ["admin"])["key"])
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print(log.read_text(errors="replace")[-20_000:])


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(f"{url}/healthz", timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError("the API did not start")
