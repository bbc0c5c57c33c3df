"""What doctor finds, against real servers and an API that says what the test wants."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import redis

from config.settings import Settings
from taskengine import runtime
from taskengine.cli import checks
from taskengine.cli.checks import State
from taskengine.lifecycle import keys
from tests.integration.cli.answers import QUEUE, page
from tests.integration.cli.conftest import Run
from tests.integration.client.scripted import Answer, ScriptedApi, problem

READY = {
    "status": "ready",
    "checks": {name: {"ok": True, "detail": "fine"} for name in ("postgres", "redis", "beat", "worker-integration")},
}
Examine = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def examine(run: Run, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str) -> Examine:
    """Run doctor on real servers; its checks by name. The API is well unless the test lays out otherwise."""
    monkeypatch.setenv("TASKENGINE_DATABASE_URL", database_url)
    monkeypatch.setenv("TASKENGINE_REDIS_URL", redis_url)
    api.on("GET", "/readyz", Answer(200, READY))
    api.on("GET", "/healthz", Answer(200, {"status": "ok"}))
    api.on("GET", "/v1/queues", page(QUEUE))

    def examine() -> dict[str, dict[str, Any]]:
        result = run("doctor", "--json")
        report = json.loads(result.stdout)
        found = {check["name"]: check for check in report["checks"]}
        assert report["ok"] is not any(check["state"] == "fault" for check in found.values())
        assert result.exit_code == (0 if report["ok"] else 1)
        assert all(check["advice"] for check in found.values() if check["state"] == "fault")
        return found

    return examine


def test_missing_programs_are_noted_and_no_fault(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_CHROMIUM", "/nowhere/chromium")
    monkeypatch.setenv("PATH", "/nowhere")
    found = examine()
    assert faults(found) == set()
    assert {found[name]["state"] for name in ("chromium", "sandbox")} == {"note"}
    assert "bubblewrap" in found["sandbox"]["advice"]


def faults(found: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, check in found.items() if check["state"] == "fault"}


def test_a_sound_installation_has_no_fault(examine: Examine) -> None:
    found = examine()
    assert faults(found) == set()
    assert {"python", "settings", "data directory", "postgres", "migrations", "redis", "redis memory"} <= set(found)
    assert {"redis clock", "api", "api: beat", "api clock", "api key", "queue integration"} <= set(found)


def test_for_people_each_check_is_a_line(run: Run, examine: Examine) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "ok       postgres" in result.stdout
    assert result.stderr == "all is well\n"


def test_a_schema_that_is_behind_names_the_command(examine: Examine, database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DELETE FROM alembic_version")
    found = examine()
    assert faults(found) == {"migrations"}
    assert found["migrations"]["advice"] == "Run: taskengine migrate"


def test_a_redis_that_may_drop_queues_is_a_fault(examine: Examine, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        connection.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = examine()
        finally:
            connection.config_set("maxmemory-policy", "noeviction")
    assert faults(found) == {"redis memory"}


def test_servers_that_do_not_answer_are_named_without_their_passwords(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKENGINE_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x")
    monkeypatch.setenv("TASKENGINE_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    found = examine()
    assert faults(found) == {"postgres", "redis"}
    assert found["migrations"]["state"] == "unknown"
    assert "secret" not in json.dumps(found)


def test_a_wrong_password_is_told_from_an_absent_server(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    head, _, tail = database_url.rpartition("@")
    monkeypatch.setenv("TASKENGINE_DATABASE_URL", f"{head.rpartition(':')[0]}:wrong@{tail}")
    assert "password" in examine()["postgres"]["detail"]


def test_older_servers_are_faults(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "OLDEST_POSTGRES", 99)
    monkeypatch.setattr(checks, "OLDEST_REDIS", 99)
    assert faults(examine()) == {"postgres", "redis"}


def test_what_the_api_finds_is_passed_on_with_a_way_to_mend_it(examine: Examine, api: ScriptedApi) -> None:
    bad = {
        "beat": {"ok": False, "detail": "silent"},
        "worker-browser": {"ok": False, "detail": "no live worker"},
        "something new": {"ok": False, "detail": "odd"},
    }
    api.on("GET", "/readyz", Answer(503, {"status": "unavailable", "checks": bad}))
    found = examine()
    assert faults(found) == {"api", "api: beat", "api: worker-browser", "api: something new"}
    assert "-Q browser" in found["api: worker-browser"]["advice"]


def test_a_key_that_is_refused_is_a_fault(examine: Examine, api: ScriptedApi) -> None:
    api.on("GET", "/v1/queues", problem(401, "unauthenticated", "no such key"))
    assert faults(examine()) == {"api key"}


def test_a_paused_queue_is_told_but_no_fault(examine: Examine, api: ScriptedApi) -> None:
    api.on("GET", "/v1/queues", page({**QUEUE, "paused": True}))
    found = examine()
    assert faults(found) == set()
    assert "taskengine queues resume integration" in found["queue integration"]["detail"]


def test_another_server_in_the_apis_place_is_noticed(examine: Examine, api: ScriptedApi) -> None:
    api.on("GET", "/readyz", Answer(200, b"<html>hello</html>"))
    found = examine()
    assert faults(found) == {"api"}
    assert found["beat and workers"]["state"] == "unknown"


def test_it_works_when_nothing_runs_at_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_URL", "http://127.0.0.1:1")
    result = run("doctor")
    assert result.exit_code == 1
    assert result.stdout.count("taskengine up") >= 3
    assert result.stderr == "3 faults\n"


def test_wrong_settings_end_the_examination_with_their_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_PORT", "many")
    result = run("doctor")
    assert result.exit_code == 1
    assert "TASKENGINE_PORT" in result.stdout
    assert State.fault.value in result.stdout


def test_migrating_says_what_it_did(run: Run, examine: Examine) -> None:
    assert run("migrate").stdout == "the schema is up to date\n"
    assert json.loads(run("migrate", "--json").stdout) == {"applied": []}


def test_a_database_that_is_away_is_code_6(run: Run, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x")
    monkeypatch.setenv("TASKENGINE_ENCRYPTION_KEY", run("keys", "new-encryption-key").stdout.strip())
    for line in (
        ["migrate"],
        ["prune", "--older-than-days", "1"],
        ["keys", "bootstrap"],
        ["organizations", "create", "a"],
    ):
        result = run(*line)
        assert result.exit_code == 6, result.stderr
        assert "refused" in result.stderr
        assert "secret" not in result.stderr


def test_commands_on_the_database_print_what_they_did(
    run: Run, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "TASKENGINE_ENCRYPTION_KEY" in run("keys", "bootstrap").stderr
    monkeypatch.setenv("TASKENGINE_ENCRYPTION_KEY", run("keys", "new-encryption-key").stdout.strip())
    made = run("keys", "bootstrap")
    assert made.exit_code == 0
    assert made.stdout.startswith("te_")
    assert run("keys", "bootstrap").exit_code == 4
    assert run("prune", "--older-than-days", "1").stdout == "0 tasks deleted\n"
    assert json.loads(run("prune", "--older-than-days", "1", "--json").stdout) == {"pruned": 0}


def test_organizations_are_made_once_each_and_their_keys_work(
    run: Run, examine: Examine, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    encryption_key = run("keys", "new-encryption-key").stdout.strip()
    monkeypatch.setenv("TASKENGINE_ENCRYPTION_KEY", encryption_key)
    plain = run("organizations", "create", "acme")
    assert (plain.exit_code, "only time" in plain.stderr) == (0, True)
    as_json = json.loads(run("organizations", "create", "other", "--json").stdout)
    assert set(as_json) == {"organization", "key", "key_id"}
    for wrong in ("acme", "no name"):
        refused = run("organizations", "create", wrong)
        assert (refused.exit_code, refused.stdout) == (4, "")
    engine = runtime.build(settings)
    try:
        found = [keys.authenticate(engine, key) for key in (plain.stdout.strip(), as_json["key"])]
        named = [keys.local_caller(engine, name) for name in ("acme", "other")]
    finally:
        engine.close()
    assert [caller and (caller.organization_id, "admin" in caller.scopes) for caller in found] == [
        (caller.organization_id, True) for caller in named
    ]


def test_functions_are_granted_and_revoked(run: Run, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_ENCRYPTION_KEY", run("keys", "new-encryption-key").stdout.strip())
    run("organizations", "create", "acme")
    assert run("functions", "grant", "engine.countdown", "--organization", "acme").exit_code == 0
    listed = {item["name"]: item for item in json.loads(run("functions", "list", "--json").stdout)["items"]}
    assert listed["engine.countdown"]["granted_to"] == ["acme"]
    assert listed["engine.now"]["open"] is True
    assert "everybody" in run("functions", "list").stdout
    for wrong in (["engine.nwo", "--organization", "acme"], ["engine.countdown", "--organization", "nobody"]):
        assert run("functions", "grant", *wrong).exit_code == 3
    gone = run("functions", "revoke", "engine.countdown", "--organization", "acme", "--json")
    assert json.loads(gone.stdout) == {"function": "engine.countdown", "organization": "acme", "granted": False}
    assert run("functions", "revoke", "engine.countdown", "--organization", "acme").exit_code == 3
