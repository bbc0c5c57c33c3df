"""Keys and scopes, over every declared operation."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from flask import Flask

from api.operations import Operation
from api.routes import DOORS
from taskengine.domain.task import Caller
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from tests.conftest import Bench
from tests.integration.api.conftest import Api

OPERATIONS = [operation for door in DOORS for operation in door.operations]
SCOPES = ("read", "write", "admin")


def path_of(operation: Operation) -> str:
    path = re.sub(r"<uuid:\w+>", str(uuid4()), operation.rule)
    return re.sub(r"<(?:\w+:)?\w+>", "name", path)


def test_every_operation_under_v1_needs_a_key(nobody: Api) -> None:
    for operation in OPERATIONS:
        response = nobody(operation.method, path_of(operation))

        # Editors fetch the schema of workflows, and have no key.
        needs = operation.rule.startswith("/v1/") and operation.rule != "/v1/workflows/schema"
        assert (response.status_code == 401) == needs, operation.name
        if response.status_code == 401:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert response.get_json()["code"] == "unauthenticated"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_does_what_its_scope_includes_and_nothing_else(
    scope: str, app: Flask, engine: Engine, caller: Caller
) -> None:
    api = Api(app.test_client(), keys.create(engine, caller, scope, [scope])["key"])

    for operation in OPERATIONS:
        if operation.scope is None:
            continue
        allowed = SCOPES.index(scope) >= SCOPES.index(operation.scope)

        response = api.raw(operation.method, path_of(operation), b"{}")

        assert (response.status_code != 403) == allowed, operation.name


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer " + "x" * 100_000},
        {"Authorization": "Bearer \x80\xff"},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
    ],
)
def test_what_is_no_valid_key_is_refused(headers: dict[str, str], nobody: Api) -> None:
    assert nobody("GET", "/v1/tasks", headers=headers).status_code == 401


def test_a_key_may_come_in_either_header(nobody: Api, engine: Engine, caller: Caller) -> None:
    key = keys.create(engine, caller, "either", ["read"])["key"]

    for headers in ({"Authorization": f"bearer {key}"}, {"X-API-Key": key}):
        assert nobody("GET", "/v1/tasks", headers=headers).status_code == 200


def test_an_expired_key_is_refused(app: Flask, engine: Engine, caller: Caller, bench: Bench) -> None:
    key = keys.create(engine, caller, "old", ["read"])
    bench.sql("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=key["id"])

    assert Api(app.test_client(), key["key"])("GET", "/v1/tasks").status_code == 401


def test_another_organization_sees_nothing(api: Api, app: Flask, engine: Engine) -> None:
    task = api.create()
    stranger = Api(app.test_client(), keys.add_organization(engine, "other")["key"])

    assert stranger("GET", "/v1/tasks").get_json()["items"] == []
    for method, rest in (("GET", ""), ("GET", "/events"), ("GET", "/explain"), ("POST", "/cancel"), ("DELETE", "")):
        assert stranger(method, f"/v1/tasks/{task['id']}{rest}").status_code == 404
    assert api.task(task["id"])["status"] == "queued"
