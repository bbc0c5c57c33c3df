from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskengine.cli.options import Options


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("URL", "API_KEY", "PORT"):
        monkeypatch.delenv(f"TASKENGINE_{name}", raising=False)
    monkeypatch.setenv("TASKENGINE_HOME", str(tmp_path))
    (tmp_path / "api-key").write_text("te_of_this_home\n")
    return tmp_path


def test_the_address_is_this_machine_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Options().base_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("TASKENGINE_PORT", "9000")
    assert Options().base_url == "http://127.0.0.1:9000"


def test_the_option_wins_over_the_setting_and_that_over_what_runs_here(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "running.json").write_text(json.dumps({"api_url": "http://127.0.0.1:8111"}))
    assert Options().base_url == "http://127.0.0.1:8111"
    monkeypatch.setenv("TASKENGINE_URL", "https://setting.example")
    assert Options().base_url == "https://setting.example"
    assert Options(url="https://option.example/").base_url == "https://option.example"


@pytest.mark.parametrize("note", ["", "[1]", "{"])
def test_a_damaged_note_of_what_runs_counts_for_nothing(home: Path, note: str) -> None:
    (home / "running.json").write_text(note)
    assert Options().base_url == "http://127.0.0.1:8000"


def test_the_key_is_the_option_else_the_setting_else_the_file(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert Options().known_key() == "te_of_this_home"
    monkeypatch.setenv("TASKENGINE_API_KEY", "te_of_the_setting")
    assert Options().known_key() == "te_of_the_setting"
    assert Options(api_key="te_of_the_option").known_key() == "te_of_the_option"
    monkeypatch.delenv("TASKENGINE_API_KEY")
    (home / "api-key").unlink()
    assert Options().known_key() is None


def test_the_key_of_this_home_is_not_sent_to_strangers() -> None:
    assert Options(url="https://stranger.example").known_key() is None
    assert Options(url="http://localhost:8001").known_key() == "te_of_this_home"
