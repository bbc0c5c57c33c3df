from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from taskengine.cli import checks
from taskengine.cli.checks import State


def test_this_python_will_do() -> None:
    assert checks.python().state is State.ok


def test_an_old_python_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1, "final", 0))
    assert checks.python().state is State.fault


def test_a_data_directory_that_can_be_made_is_fine_and_is_not_made(tmp_path: Path) -> None:
    check = checks.data_directory(tmp_path / "a" / "b")
    assert check.state is State.ok
    assert "GiB free" in check.detail
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_below_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = checks.data_directory(tmp_path / "file" / "home")
    assert check.state is State.fault
    assert "TASKENGINE_HOME" in check.advice


def test_a_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 1 << 62)
    assert "Free some space" in checks.data_directory(tmp_path).advice


@pytest.mark.parametrize(("skew", "state"), [(0, State.ok), (1.5, State.ok), (-1.5, State.ok), (9, State.fault)])
def test_clocks_may_differ_by_little(skew: float, state: State) -> None:
    assert checks.clock("clock", time.time() + skew).state is state


def test_a_check_that_breaks_is_a_fault_of_its_own() -> None:
    def broken() -> Any:
        raise RuntimeError("first line\nsecond line")

    check = checks.guarded("thing", broken)
    assert (check.state, check.detail) == (State.fault, "first line")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@db.example:5432/name", "db.example:5432/name"),
        ("redis://:secret@127.0.0.1/0", "127.0.0.1/0"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str) -> None:
    assert checks.address(url) == shown
