"""The WSGI entry says in one line what is wrong with the settings."""

from __future__ import annotations

import pytest

from api import wsgi


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"TASKENGINE_PORT": "many"}, "TASKENGINE_PORT"),
        ({}, "TASKENGINE_REDIS_URL"),
        ({"TASKENGINE_REDIS_URL": "redis://127.0.0.1:1/0"}, "TASKENGINE_ENCRYPTION_KEY"),
    ],
)
def test_wrong_settings_end_the_process_with_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    for name in ("TASKENGINE_REDIS_URL", "TASKENGINE_DATABASE_URL", "TASKENGINE_ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as caught:
        _ = wsgi.app

    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_else_is_made_up() -> None:
    with pytest.raises(AttributeError):
        _ = wsgi.application
