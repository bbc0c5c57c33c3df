"""Postgres and Redis for tests: the embedded servers, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import redis

from taskengine.embedded import postgres, valkey
from taskengine.embedded.child import Child, Spec
from taskengine.embedded.home import Home
from taskengine.store.migrate import migrate

_START_SECONDS = 60
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30


class Server:
    """One running server, whose output is read until it says that it is ready."""

    def __init__(self, spec: Spec, ready: str, folder: Path) -> None:
        self._spec, self._ready, self._folder = spec, ready, folder
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.child = Child(self._spec, dict(os.environ), self._folder)
        os.set_blocking(self.child.output, True)
        said_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(said_ready,), daemon=True)
        self._reader.start()
        if not said_ready.wait(_START_SECONDS):
            raise RuntimeError(f"{self._spec.name} did not start")

    def _read(self, said_ready: threading.Event) -> None:
        stream = self.child.process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                if self._ready in line.decode(errors="replace"):
                    said_ready.set()

    def stop(self, how: signal.Signals | None = None) -> None:
        """End it with its own stop signal, or another."""
        self.child.process.send_signal(how or self._spec.stop_signal)
        self.child.process.wait(30)
        self._reader.join(10)


class Servers:
    """A Postgres with a migrated template database, and a Redis."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder)
        self._lock = home.lock()
        self.home = home
        self._redis = valkey.prepare(home)
        self._postgres = postgres.prepare(home, frozenset({self._redis.port}))
        if not self._postgres.exists:
            for command in self._postgres.creation():
                child = Child(command, dict(os.environ), folder)
                os.set_blocking(child.output, True)
                assert child.process.stdout is not None
                with child.process.stdout as stream:
                    said = stream.read()
                if child.process.wait() != 0:
                    raise RuntimeError(said.decode(errors="replace"))
            self._postgres.adopt()
        spec = self._postgres.spec(self._lock)
        # Tests kill processes, not the machine: nothing is lost without the disk, and each database is made faster.
        self.postgres = Server(replace(spec, argv=(*spec.argv, "--fsync=off")), postgres.READY, folder)
        self.redis = Server(self._redis.spec(self._lock), valkey.READY, folder)
        self.redis_url = self._redis.url
        self._base = self._postgres.url.rpartition("/")[0]
        with psycopg.connect(self._base + "/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_taskengine")
        migrate(self._base + "/template_taskengine")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh, migrated database, dropped afterwards."""
        name = f"t{uuid4().hex}"
        with psycopg.connect(self._base + "/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template_taskengine STRATEGY FILE_COPY")
        try:
            yield f"{self._base}/{name}"
        finally:
            with psycopg.connect(self._base + "/postgres", autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def flush(self) -> None:
        """Empty Redis."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def stop(self) -> None:
        """End both."""
        self.redis.stop()
        self.postgres.stop()
        self.home.release()


@contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """A folder for servers: in memory where there is room (each database is 400 files), else among temporary files.

    Pytest's own is closed to other users, and as root Postgres runs as another.
    """
    memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_MEMORY if memory else None) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def open_to_all(folder: Path) -> None:
    """Let other users into a folder of pytest's, and through those above it, which it makes for its own user only."""
    for place in (folder, *folder.parents):
        if place == Path(tempfile.gettempdir()):
            break
        place.chmod(0o755)


@contextmanager
def running(prefix: str) -> Iterator[Servers]:
    """Both, in a folder that goes with them."""
    with open_folder(prefix) as folder:
        servers = Servers(folder)
        yield servers
        servers.stop()
