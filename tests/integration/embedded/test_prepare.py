"""Preparing database and Redis, against real servers."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from taskengine.embedded import prepare
from taskengine.embedded.errors import EXIT_KEY_UNKNOWN, StartError


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def old_redis() -> Iterator[str]:
    """A peer that answers as Redis 6 does."""
    info = b"redis_version:6.2.14\r\nredis_mode:standalone\r\n"

    def serve(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with connection:
            while data := connection.recv(65536):
                if b"INFO" in data:
                    connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
                elif b"HELLO" in data:
                    connection.sendall(b"-ERR unknown command\r\n" + b"+OK\r\n" * (data.count(b"*") - 1))
                else:
                    connection.sendall(b"+OK\r\n" * data.count(b"*"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2"
        thread.join()


def test_the_first_time_makes_a_key_that_later_times_find_valid(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.prepare(settings)
    file = settings.home / "api-key"
    key = file.read_text()
    assert key.startswith("te_")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "made the organization default" in capsys.readouterr().out
    assert prepare.prepare(settings)
    assert file.read_text() == key
    assert capsys.readouterr().out == ""


def test_the_key_from_the_settings_is_the_first_key(settings: Settings) -> None:
    chosen = Settings.model_validate(settings.model_dump() | {"bootstrap_api_key": "te_0123456789abcdefghij"})
    assert prepare.prepare(chosen)
    assert (settings.home / "api-key").read_text() == "te_0123456789abcdefghij\n"


def test_a_key_of_another_database_is_not_taken_for_valid(settings: Settings) -> None:
    prepare.prepare(settings)
    file = settings.home / "api-key"
    file.write_text("te_of_another_database_0123456789\n")
    assert not prepare.prepare(settings)
    file.unlink()
    assert not prepare.prepare(settings)


def test_missing_addresses_are_told() -> None:
    with pytest.raises(StartError, match="TASKENGINE_DATABASE_URL is not set"):
        prepare.prepare(Settings(redis_url="redis://127.0.0.1"))
    with pytest.raises(StartError, match="TASKENGINE_REDIS_URL is not set"):
        prepare.prepare(Settings(database_url="postgresql://127.0.0.1/x"))


def test_an_unreachable_postgres_is_told_in_one_line_without_its_password(closed_port: int) -> None:
    with pytest.raises(StartError) as caught:
        prepare.check_postgres(f"postgresql+psycopg://me:hidden-word@127.0.0.1:{closed_port}/x")
    text = str(caught.value)
    assert text.startswith(f"TASKENGINE_DATABASE_URL: cannot connect to 127.0.0.1:{closed_port}: ")
    assert "refused" in text
    assert "\n" not in text
    assert "hidden-word" not in text


def test_an_unreachable_redis_is_told_in_one_line_without_its_password(closed_port: int) -> None:
    with pytest.raises(StartError) as caught:
        prepare.check_redis(f"redis://:hidden-word@127.0.0.1:{closed_port}/0")
    text = str(caught.value)
    assert text.startswith(f"TASKENGINE_REDIS_URL: cannot use 127.0.0.1:{closed_port}: ")
    assert "\n" not in text
    assert "hidden-word" not in text


def test_an_old_redis_is_refused(old_redis: str) -> None:
    with pytest.raises(StartError, match=r"is Redis 6\.2\.14; 7 or later is needed"):
        prepare.check_redis(old_redis)


def test_an_old_postgres_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database_url is not None
    monkeypatch.setattr(prepare, "OLDEST_POSTGRES", 99)
    with pytest.raises(StartError, match=r"is PostgreSQL \d+; 99 or later is needed"):
        prepare.check_postgres(settings.database_url)


def test_the_command_says_it_by_its_exit_code(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settings.encryption_key is not None
    monkeypatch.setenv("TASKENGINE_HOME", str(tmp_path))
    monkeypatch.setenv("TASKENGINE_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("TASKENGINE_REDIS_URL", str(settings.redis_url))
    monkeypatch.setenv("TASKENGINE_ENCRYPTION_KEY", settings.encryption_key.get_secret_value())
    assert prepare.main() == 0
    (tmp_path / "api-key").unlink()
    assert prepare.main() == EXIT_KEY_UNKNOWN
    monkeypatch.setenv("TASKENGINE_PORT", "many")
    capsys.readouterr()
    assert prepare.main() == 1
    assert capsys.readouterr().out.startswith("TASKENGINE_PORT: ")
