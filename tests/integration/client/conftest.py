from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskengine.client import Client
from tests.integration.client.scripted import ScriptedApi


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi().serving() as api:
        yield api


@pytest.fixture
def client(api: ScriptedApi) -> Iterator[Client]:
    with Client(api.url, "te_test_key", timeout=5, retries=2) as client:
        yield client
