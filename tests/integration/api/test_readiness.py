"""/readyz under a storm of probes, and right after a change."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from api import readiness
from taskengine.lifecycle import presence, recover
from taskengine.lifecycle.engine import Engine
from tests.integration.api.conftest import Api


def healthy(engine: Engine) -> None:
    recover.tick(engine, "me")
    for name in engine.settings.worker_sizes():
        presence.seen(engine, f"w-{name}", name, 1, {})
        recover.canary_back(engine, name)


def test_a_storm_of_probes_looks_once(app: Flask, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 60.0)
    healthy(engine)
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine.db.sqlalchemy, "before_cursor_execute", note)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Api(app.test_client(), None)("GET", "/readyz"), range(40)))

    assert {(answer.status_code, answer.get_json()["status"]) for answer in answers} == {(200, "ready")}
    assert len([statement for statement in sent if "workers" in statement]) == 1


def test_a_change_is_seen_about_a_second_later(nobody: Api, engine: Engine) -> None:
    healthy(engine)
    assert nobody("GET", "/readyz").status_code == 200
    for name in engine.settings.worker_sizes():
        presence.gone(engine, f"w-{name}")

    deadline = time.monotonic() + 2 * readiness.KEPT_SECONDS
    while nobody("GET", "/readyz").status_code == 200 and time.monotonic() < deadline:
        pass

    assert nobody("GET", "/readyz").status_code == 503
