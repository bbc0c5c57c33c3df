"""The API in this process, on a real engine."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from api.schemas.shared import Shape
from taskengine.domain.task import Caller
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine

TASK: dict[str, Any] = {"name": "test", "type": "echo", "config": {"message": "hello"}}


class Api:
    """Sends requests with a key. ``key`` None sends none."""

    def __init__(self, client: FlaskClient, key: str | None) -> None:
        self._client, self._key = client, key

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self._key is not None:
            headers.setdefault("Authorization", f"Bearer {self._key}")
        # Buffered: read in full and closed, files too.
        return self._client.open(path, method=method, headers=headers, buffered=True, **options)

    def raw(self, method: str, path: str, body: bytes, **headers: str) -> TestResponse:
        """A request with these bytes as its body, said to be JSON."""
        return self(method, path, data=body, headers={"Content-Type": "application/json"} | _dashed(headers))

    def create(self, **fields: Any) -> dict[str, Any]:
        """A new echo task."""
        response = self("POST", "/v1/tasks", json=TASK | fields)
        assert response.status_code == 201, response.text
        return response.get_json()  # type: ignore[no-any-return]  # JSON of our own

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as it stands."""
        return self("GET", f"/v1/tasks/{task_id}").get_json()  # type: ignore[no-any-return]  # JSON of our own


def fits(value: object, shape: type[Shape]) -> None:
    """The value has exactly the documented fields, and each is of its type."""
    assert isinstance(value, dict)
    assert set(value) == {field.alias or name for name, field in shape.model_fields.items()}
    shape.model_validate(value)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def app(engine: Engine) -> Flask:
    """The application."""
    return create_app(engine)


@pytest.fixture
def api(app: Flask, engine: Engine, caller: Caller) -> Api:
    """Requests with an admin key of the default organization."""
    return Api(app.test_client(), keys.create(engine, caller, "tests", ["admin"])["key"])


@pytest.fixture
def nobody(app: Flask) -> Api:
    """Requests without a key."""
    return Api(app.test_client(), None)
