from __future__ import annotations

import json

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from config.settings import Settings
from taskengine.cli import main, operate


def test_every_setting_is_listed_with_its_variable_and_description() -> None:
    rows = operate.listing(Settings())
    assert [row["variable"] for row in rows] == [f"TASKENGINE_{name.upper()}" for name in Settings.model_fields]
    assert all(row["description"] for row in rows)


def test_nothing_confidential_is_shown() -> None:
    settings = Settings(
        bootstrap_api_key=SecretStr("te_confidential_key"),
        api_key=SecretStr("te_confidential_key"),
        encryption_key=SecretStr("confidential"),
        flower_auth=SecretStr("admin:confidential"),
        database_url="postgresql://user:confidential@db.example:5432/x?sslmode=require",
        redis_url="rediss://:confidential@redis.example/1",
    )
    rows = {row["variable"]: row["value"] for row in operate.listing(settings)}
    assert "confidential" not in json.dumps(rows)
    assert rows["TASKENGINE_DATABASE_URL"] == "postgresql://user:***@db.example:5432/x?sslmode=require"
    assert rows["TASKENGINE_REDIS_URL"] == "rediss://:***@redis.example/1"
    assert rows["TASKENGINE_API_KEY"] == "***"


def test_values_in_force_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKENGINE_PORT", "8123")
    result = CliRunner().invoke(main.build(), ["settings", "--json"], catch_exceptions=False)
    port = next(row for row in json.loads(result.stdout)["items"] if row["variable"] == "TASKENGINE_PORT")
    assert (port["value"], port["default"]) == (8123, 8000)
    assert "8123" in CliRunner().invoke(main.build(), ["settings"], catch_exceptions=False).stdout
