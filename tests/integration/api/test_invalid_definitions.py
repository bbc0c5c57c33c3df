"""The table of invalid definitions through HTTP: each is refused with its code, path and a sentence, nothing stored."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest
from sqlalchemy import func, select, union_all
from sqlalchemy import literal as text
from werkzeug.test import TestResponse

from api.app import create_app
from taskengine.domain import documents
from taskengine.lifecycle import keys
from taskengine.lifecycle.engine import Engine
from taskengine.store.tables import metadata
from tests.integration.api.conftest import Api
from tests.integration.lifecycle.definition_cases import Case, invalid

YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}
CODES = {"circular_dependency": "circular_dependency", "unknown_dependency": "unknown_dependency"}
KNOWN = "name: known\nvariables: {region: eu, number: 1, token: null}\nsteps: [{id: a, type: wait, seconds: 1}]\n"
WITH_KEY = {"Idempotency-Key": "sent-before-it-was-mended"}


@pytest.fixture(scope="module")
def engine(engine_of_module: Engine) -> Engine:
    """One engine for all cases: none of them may leave anything."""
    return engine_of_module


@pytest.fixture(scope="module")
def api(engine: Engine) -> Api:
    """Requests with an admin key, where the workflow "known" is registered."""
    made = Api(
        create_app(engine).test_client(), keys.create(engine, keys.local_caller(engine), "tests", ["admin"])["key"]
    )
    assert made("PUT", "/v1/workflows/known", data=KNOWN, headers=YAML).status_code == 201
    return made


def rows(engine: Engine) -> dict[str, int]:
    """How many rows each table holds."""
    counts = (select(text(table.name), func.count()).select_from(table) for table in metadata.sorted_tables)
    with engine.db.autocommit() as conn:
        return {row[0]: row[1] for row in conn.execute(union_all(*counts))}


def refused(response: TestResponse, case: Case, *before: str) -> dict[str, Any]:
    """The one fault of a refusal, found to be the one expected, at its path below ``before``."""
    problem = response.get_json()
    [fault] = problem["errors"]
    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert problem["code"] == CODES.get(case.code, "invalid_definition")
    assert (fault["type"], dotted(fault["loc"])) == (case.code, dotted(["body", *before]) + below(case.path))
    assert case.path in problem["detail"] and case.words in problem["detail"]
    assert fault["msg"] and ": :" not in problem["detail"]
    return fault  # type: ignore[no-any-return]  # JSON of our own


def dotted(loc: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)


def below(path: str) -> str:
    return f".{path}" if path else ""


@pytest.mark.parametrize("case", invalid(), ids=lambda case: case.title)
def test_an_invalid_definition_is_neither_registered_nor_run(api: Api, engine: Engine, case: Case) -> None:
    before = rows(engine)
    nested = "definition:\n" + textwrap.indent(case.text, "  ")
    plain = json.dumps(documents.parse(case.text).data)
    run = '{"definition": ' + plain + "}"

    put = refused(api("PUT", "/v1/workflows/w", data=case.text, headers=YAML), case)
    refused(api("PUT", "/v1/workflows/w", data=plain, headers=JSON), case)
    refused(api("POST", "/v1/runs", data=run, headers=JSON | WITH_KEY), case, "definition")
    refused(api("POST", "/v1/runs", data=nested, headers=YAML), case, "definition")

    assert put["line"] == case.line
    assert rows(engine) == before
