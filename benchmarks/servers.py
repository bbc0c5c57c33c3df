"""The servers of a run, as ``taskengine up`` would start them: a Valkey for all contenders, a Postgres."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from benchmarks.contender import until
from config.settings import inherited
from taskengine.embedded import postgres, valkey
from taskengine.embedded.child import Spec, start
from taskengine.embedded.home import Home

START_SECONDS = 30


@dataclass(frozen=True)
class Servers:
    """Where they listen; ``folder`` is for logs of this run, and goes away with it."""

    folder: Path
    redis_url: str
    database_url: str

    def redis(self, database: int) -> str:
        """The address of one Redis database: each contender has its own."""
        return self.redis_url.rpartition("/")[0] + f"/{database}"

    def facts(self) -> dict[str, Any]:
        """Versions, and what decides how durable a commit is."""
        with redis.Redis.from_url(self.redis_url) as client, psycopg.connect(self.database_url) as connection:
            info = client.info("server")
            shown = {
                name: connection.execute(f"SHOW {name}").fetchone()
                for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            }
            return {
                "redis": info.get("valkey_version") or info["redis_version"],
                "redis_appendfsync": client.config_get("appendfsync")["appendfsync"],
                "postgres": {name: row[0] for name, row in shown.items() if row},
            }


@contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Start both servers with their data in ``folder``; stop them at the end."""
    folder.chmod(0o711)  # as root, Postgres runs as another user, who must get through here
    home = Home(folder / "home")
    lock = home.lock()
    with ExitStack() as stack:
        stack.callback(home.release)
        doorbell = valkey.prepare(home)
        record = postgres.prepare(home, frozenset({doorbell.port}))
        for step in record.creation():
            _run(step, home)
        record.adopt()
        stack.enter_context(_serve(doorbell.spec(lock), home, valkey.READY))
        stack.enter_context(_serve(record.spec(lock), home, postgres.READY))
        yield Servers(home.logs, doorbell.url, record.url)


def _run(spec: Spec, home: Home) -> None:
    process = _popen(spec, home)
    process.communicate(spec.stdin.encode())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, shlex.join(spec.argv))


@contextmanager
def _serve(spec: Spec, home: Home, ready: str) -> Iterator[None]:
    process = _popen(spec, home)
    try:
        until(lambda: ready in _log(spec, home).read_text(errors="replace"), f"{spec.name} is up", START_SECONDS)
        yield
    finally:
        process.send_signal(spec.stop_signal)
        process.wait()


def _popen(spec: Spec, home: Home) -> subprocess.Popen[bytes]:
    with _log(spec, home).open("ab") as log:
        return start(spec, inherited(), home.path, log)


def _log(spec: Spec, home: Home) -> Path:
    return home.logs / f"{spec.name}.log"
