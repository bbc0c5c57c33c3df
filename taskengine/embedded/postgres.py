"""The embedded Postgres: made at the first start, then run on the loopback address, password required."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from taskengine.embedded import binaries, identity, ports
from taskengine.embedded.child import Spec
from taskengine.embedded.errors import StartError
from taskengine.embedded.home import Home, write_private

READY = "database system is ready to accept connections"
USER = DATABASE = "taskengine"

_TUNING = {
    "max_connections": "200",
    "shared_buffers": "192MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    # Durability is the point of the whole: these are the defaults, and stay so whatever a file says.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    # Nothing replicates from this server: less is written, and no sender processes are kept.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # The queries are short and use an index: compiling them costs more than running them.
    "jit": "off",
    "random_page_cost": "1.1",
    # Separate I/O processes gain nothing on data that fits in memory.
    "io_method": "sync",
    # Task rows change often: clean up sooner than the defaults do.
    "autovacuum_naptime": "30s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
}


@dataclass(frozen=True)
class Postgres:
    """One server on its folder in the data directory."""

    folder: Path
    port: int
    password: str
    runs_as: identity.Identity | None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def exists(self) -> bool:
        """Whether the database files were made already; StartError when by another major version."""
        version = self.folder / "PG_VERSION"
        if not version.exists():
            return False
        found = version.read_text().strip()
        if found != str(binaries.POSTGRES_MAJOR):
            raise StartError(
                f"{self.folder} was made by PostgreSQL {found}, the bundled one is "
                f"{binaries.POSTGRES_MAJOR}: dump it with the old version, or move it away to start afresh"
            )
        return True

    def creation(self) -> tuple[Spec, Spec]:
        """The two commands that make the files, in order; :meth:`adopt` then puts them in place."""
        unfinished = self._unfinished()
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = unfinished.parent / "postgres-password.init"
        write_private(password_file, self.password)
        if self.runs_as is not None:
            os.chown(unfinished, self.runs_as.uid, self.runs_as.gid)
            os.chown(password_file, self.runs_as.uid, self.runs_as.gid)
        bin_folder = binaries.postgres_bin()
        initdb = (
            str(bin_folder / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
        # Single-user mode needs no server, no port and no client for the one statement.
        single = (str(bin_folder / "postgres"), "--single", "-D", str(unfinished), "postgres")
        return (
            Spec("postgres", initdb, identity=self.runs_as, environment=_LOCALE),
            Spec(
                "postgres",
                single,
                identity=self.runs_as,
                environment=_LOCALE,
                stdin=f"CREATE DATABASE {DATABASE};\n",
            ),
        )

    def adopt(self) -> None:
        """Put the files just made in place: from here on they are the database."""
        (self.folder.parent / "postgres-password.init").unlink()
        self._unfinished().rename(self.folder)

    def spec(self, lock: int) -> Spec:
        """How to run it, for whoever holds the data directory's lock."""
        # Whoever runs on these files has the lock, so this is left from a kill -9. After a restart of the machine
        # its pid may be anybody's, and Postgres would refuse to start.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        if self.runs_as is None and self.folder.stat().st_uid != os.geteuid():
            raise StartError(f"{self.folder} belongs to another user: start as that user, or as root")
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        settings = [f"--{name}={value}" for name, value in (options | _TUNING).items()]
        return Spec(
            name="postgres",
            argv=(str(binaries.postgres_bin() / "postgres"), "-D", str(self.folder), *settings),
            environment=_LOCALE,
            # "fast" (roll back and go), then "immediate" (go; recovery at the next start). Never SIGKILL: backends
            # would be left to notice by themselves.
            stop_signal=signal.SIGINT,
            hard_signal=signal.SIGQUIT,
            death_signal=signal.SIGQUIT,
            stop_seconds=4,
            identity=self.runs_as,
            inherit=(lock,),
        )

    def _unfinished(self) -> Path:
        return self.folder.with_name("postgres.unfinished")


_LOCALE = {"LC_ALL": "C"}  # messages in English: the start waits for one of them


def prepare(home: Home, avoid: frozenset[int]) -> Postgres:
    """The server of this data directory, on the port it had before if that is free and not in ``avoid``."""
    port = ports.pick(home.remembered("postgres-port"), avoid)
    home.remember("postgres-port", port)
    folder = home.path / "postgres"
    runs_as = identity.for_postgres(folder, (binaries.postgres_bin() / "postgres", home.path))
    return Postgres(folder, port, home.secret("postgres-password"), runs_as)
