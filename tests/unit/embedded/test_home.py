"""The data directory: lock, secrets, notes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from taskengine.embedded import home as home_module
from taskengine.embedded.errors import StartError
from taskengine.embedded.home import Home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_directory_is_taken_once_and_free_again_after(tmp_path: Path) -> None:
    first = Home(tmp_path / "data")
    first.lock()
    with pytest.raises(StartError, match=rf"data is in use by process {os.getpid()}$"):
        Home(tmp_path / "data").lock()
    first.release()
    Home(tmp_path / "data").lock()


def test_what_a_killed_start_left_running_is_waited_for(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left = Home(tmp_path / "data")
    left.lock()
    (tmp_path / "data" / "lock").write_text(str(gone.pid))
    timer = threading.Timer(0.3, left.release)
    timer.start()
    Home(tmp_path / "data").lock()
    timer.join()


def test_what_a_killed_start_left_running_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_module, "_REMNANTS_SECONDS", 0.1)
    left = Home(tmp_path / "data")
    left.lock()
    (tmp_path / "data" / "lock").write_text("")
    with pytest.raises(StartError, match="in use by process unknown"):
        Home(tmp_path / "data").lock()
    left.release()


def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"TASKENGINE_HOME: cannot use .*: Not a directory$"):
        Home(tmp_path / "file" / "data")


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    first = home.secret("redis-password")
    assert len(first) >= 32
    assert Home(tmp_path / "data").secret("redis-password") == first
    assert mode(tmp_path / "data" / "redis-password") == 0o600


def test_a_number_is_remembered_and_nonsense_is_not(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    assert home.remembered("redis-port") is None
    home.remember("redis-port", 16000)
    assert home.remembered("redis-port") == 16000
    (tmp_path / "data" / "redis-port").write_text("?")
    assert home.remembered("redis-port") is None


def test_the_note_on_what_runs_is_private_and_goes_away(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    home.note_running({"pid": 1})
    assert home.running.read_text() == '{"pid": 1}\n'
    assert mode(home.running) == 0o600
    home.forget_running()
    home.forget_running()
    assert not home.running.exists()
