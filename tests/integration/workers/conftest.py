"""Real HTTP peers and a context for handlers."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from taskengine.delivery.egress import guarded_session
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer, running_peer
from workers.integration.api_call import ApiCall
from workers.integration.http_config import ApiCallConfig, ApiCallOutput

GRANIAN = Path(__file__).parents[3] / ".venv-httpbin" / "bin" / "granian"
START_SECONDS = 30


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="session")
def httpbin() -> Iterator[str]:
    """Base URL of a running httpbin, which lives in an environment of its own."""
    if not GRANIAN.exists():
        message = "httpbin is not installed in .venv-httpbin; script/test installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    port = _free_port()
    command = [str(GRANIAN), "--interface", "wsgi", "httpbin:app", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--blocking-threads", "4"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + START_SECONDS
        while not _answers(f"{url}/get"):
            if server.poll() is not None or time.monotonic() > until:
                pytest.fail("httpbin did not start")
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A server whose answers the test writes."""
    with running_peer() as running:
        yield running


@pytest.fixture
def other_peer() -> Iterator[Peer]:
    """A second one: another origin."""
    with running_peer() as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A guarded session that may reach the loopback address 127.0.0.1 and nothing else that is private."""
    with guarded_session(["127.0.0.1"]) as guarded:
        yield guarded


@pytest.fixture
def ctx(session: requests.Session, tmp_path: Path) -> HandlerContext:
    """A context for one attempt."""
    return HandlerContext(session, tmp_path)


Call = Callable[..., ApiCallOutput]


@pytest.fixture
def call(ctx: HandlerContext) -> Call:
    """Run api_call with these config fields; returns its output or raises its error."""
    handler = ApiCall()

    def run(url: str, **fields: Any) -> ApiCallOutput:
        config = ApiCallConfig.model_validate({"apiEndpoint": url, **fields})
        outcome = handler.run(ctx, config)
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, ApiCallOutput)
        return outcome.result

    return run
