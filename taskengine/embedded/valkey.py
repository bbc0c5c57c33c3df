"""The embedded Redis: a Valkey server on the loopback address, with a password and an append-only file."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from taskengine.embedded import binaries, ports
from taskengine.embedded.child import Spec
from taskengine.embedded.home import Home, write_private

READY = "Ready to accept connections"

_CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
daemonize no
loglevel notice
databases 16
maxmemory-policy noeviction
appendonly yes
appendfsync everysec
# A kill -9 may cut the file's last command in half: drop it. The record is in Postgres.
aof-load-truncated yes
save ""
"""


@dataclass(frozen=True)
class Valkey:
    """One server on its folder in the data directory."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Where clients find it; database 0."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def spec(self, lock: int) -> Spec:
        """How to run it. The password goes by a private file: command lines are there for everybody to read."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        config = self.folder / "valkey.conf"
        write_private(config, _CONFIG.format(port=self.port, password=self.password, folder=_quoted(self.folder)))
        return Spec(
            name="redis",
            argv=(str(binaries.valkey_server()), str(config)),
            stop_seconds=2,
            death_signal=signal.SIGTERM,
            inherit=(lock,),
        )


def prepare(home: Home) -> Valkey:
    """The server of this data directory, on the port it had before if that is free."""
    port = ports.pick(home.remembered("redis-port"))
    home.remember("redis-port", port)
    return Valkey(home.path / "redis", port, home.secret("redis-password"))


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
