"""Everything of one installation on one machine: what ``taskengine up`` starts, in which order, and how it ends."""

from __future__ import annotations

import base64
import ipaddress
import os
import secrets
import shutil
import sys
import time
from pathlib import Path

from pydantic import SecretStr

from config.processes import KINDS, processes
from config.settings import PREFIX, QUEUES, Settings, SettingsError, inherited
from taskengine.embedded import banner, ports, postgres, valkey
from taskengine.embedded.child import Spec
from taskengine.embedded.console import Console
from taskengine.embedded.errors import EXIT_KEY_UNKNOWN, StartError
from taskengine.embedded.home import Home
from taskengine.embedded.supervisor import Stopped, Supervisor

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds taskengine/, workers/ and api/: the processes run there, whatever else is called so."""

STOP_SECONDS = 13.0
"""A stop takes at most this long; what does not end in time is ended."""

_STOP_STAGES = (
    ("setup",),
    ("flower",),
    ("beat",),
    ("api",),
    tuple(f"worker-{queue}" for queue in QUEUES),
    ("redis",),
    ("postgres",),
)
# Together below STOP_SECONDS, so that Postgres, the last, is never cut short. A worker whose task takes longer is cut:
# the task's lease runs out, and another worker takes it up.
_STOP_PATIENCE = {"flower": 1.5, "beat": 1.5, "api": 3.0} | dict.fromkeys(_STOP_STAGES[4], 4.0)

_SERVERS_SECONDS = 60.0  # recovery after a crash may have some WAL to read
_READY_SECONDS = 120.0


def run(settings: Settings) -> int:
    """Start everything, run until a signal stops it; the exit code.

    SettingsError or StartError, with one line for each fault, when it cannot start.
    """
    _check(settings)
    home = Home(settings.home)
    lock = home.lock()
    try:
        _check_ports(settings)
        return Stack(settings, home, lock).run()
    finally:
        home.release()


class Stack:
    """One start of an installation."""

    def __init__(self, settings: Settings, home: Home, lock: int) -> None:
        self._home = home
        self._lock = lock
        self._redis = valkey.prepare(home) if settings.redis_url is None else None
        avoid = frozenset({self._redis.port} if self._redis else ())
        self._postgres = postgres.prepare(home, avoid) if settings.database_url is None else None
        self._settings = self._complete(settings)
        colour = sys.stdout.isatty() and not inherited().get("NO_COLOR")
        names = (*KINDS, "redis", "postgres", "setup")
        self._console = Console(names, colour=colour, logs=home.logs)
        self._started = time.monotonic()

    def run(self) -> int:
        """Start, run, stop; the exit code."""
        environment = child_environment(self._settings)
        with Supervisor(self._console, environment, PROJECT) as supervisor:
            try:
                self._start(supervisor)
                supervisor.run_until_stopped()
            except Stopped:
                self._console.say("stopping (once more: at once)")
            finally:
                began = time.monotonic()
                supervisor.stop(_STOP_STAGES, STOP_SECONDS)
                self._home.forget_running()
            self._console.say(f"stopped after {time.monotonic() - began:.1f} s; the next start goes on from here")
        self._console.close()
        return 0

    def _complete(self, settings: Settings) -> Settings:
        """The settings with what this start adds: absolute paths, the embedded servers' addresses, the key."""
        added: dict[str, object] = {"home": self._home.path}
        if self._redis is not None:
            added["redis_url"] = self._redis.url
        if self._postgres is not None:
            added["database_url"] = self._postgres.url
        if settings.encryption_key is None:
            key = self._home.secret(self._home.encryption_key.name, _fernet_key)
            added["encryption_key"] = SecretStr(key)
        return settings.model_copy(update=added)

    def _start(self, supervisor: Supervisor) -> None:
        if os.geteuid() == 0:
            self._console.say("running as root; a normal user will do (only Postgres changes to another user)")
        self._start_servers(supervisor)
        self._note_running()
        key = self._prepare(supervisor)
        started = processes(self._settings)
        self._console.say(f"starting {', '.join(process.name for process in started)}")
        for process in started:
            supervisor.start(
                Spec(
                    process.name,
                    (executable(process.argv[0]), *process.argv[1:]),
                    process.environment,
                    stop_seconds=_STOP_PATIENCE[process.name],
                )
            )
        self._await_ready(supervisor, key)

    def _start_servers(self, supervisor: Supervisor) -> None:
        servers: dict[str, Spec] = {}
        if self._redis is not None:
            self._console.say(f"starting the embedded Redis in {self._redis.folder}")
            servers[valkey.READY] = self._redis.spec(self._lock)
        if self._postgres is not None:
            if not self._postgres.exists:
                self._make_database(supervisor, self._postgres)
            self._console.say(f"starting the embedded Postgres in {self._postgres.folder}")
            servers[postgres.READY] = self._postgres.spec(self._lock)
        if servers:
            supervisor.start_and_await(servers, _SERVERS_SECONDS)

    def _make_database(self, supervisor: Supervisor, server: postgres.Postgres) -> None:
        self._console.say(f"first start: making the database in {server.folder}")
        last: list[str] = []
        for command in server.creation():
            if supervisor.run(command, last.append, quiet=True) != 0:
                log = self._home.logs / "postgres.log"
                said = f": {last[-1]}" if last else ""
                raise StartError(f"the database files could not be made{said}; see {log}")
        server.adopt()

    def _prepare(self, supervisor: Supervisor) -> str | None:
        """Migrate and make the first key; the key, None if it was made elsewhere."""
        self._console.say("checking the database and applying migrations")
        last: list[str] = []
        code = supervisor.run(_python("taskengine.embedded.prepare"), last.append)
        if code not in (0, EXIT_KEY_UNKNOWN):
            raise StartError(last[-1] if last else f"the database could not be prepared (exit code {code})")
        return self._home.api_key.read_text().strip() if code == 0 else None

    def _await_ready(self, supervisor: Supervisor, key: str | None) -> None:
        settings = self._settings
        url = f"{banner.base_url(settings.host, settings.port)}/readyz"
        if supervisor.run(_python("taskengine.embedded.probe", url, str(_READY_SECONDS))) == 0:
            seconds = time.monotonic() - self._started
            self._console.banner(banner.text(settings, self._home.path, key, seconds))
        else:
            self._console.say(f"not ready after {_READY_SECONDS:.0f} s; still trying: the log above says why")

    def _note_running(self) -> None:
        settings = self._settings
        self._home.note_running(
            {
                "pid": os.getpid(),
                "api_url": banner.base_url(settings.host, settings.port),
                "flower_url": banner.base_url(settings.host, settings.flower_port),
                "database_url": settings.database_url,
                "redis_url": settings.redis_url,
            }
        )


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of every process: ours, with the completed settings in it."""
    environment = inherited()
    # The processes run in the project's folder; what is said relative to ours must stay true there.
    search = [str(Path(part).absolute()) for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    if settings.celery_app is not None:
        search.append(str(Path.cwd()))
    if search:
        environment["PYTHONPATH"] = os.pathsep.join(search)
    environment["PYTHONUNBUFFERED"] = "1"
    # Said once by ourselves, and not in eight lines by each worker.
    environment.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser privileges")
    environment[f"{PREFIX}HOME"] = str(settings.home)
    environment[f"{PREFIX}REDIS_URL"] = settings.redis_url or ""
    environment[f"{PREFIX}DATABASE_URL"] = settings.database_url or ""
    if settings.encryption_key is not None:
        environment[f"{PREFIX}ENCRYPTION_KEY"] = settings.encryption_key.get_secret_value()
    return environment


def executable(name: str) -> str:
    """A command installed beside this Python, whatever the PATH says; else the one on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StartError(f"the command {name} is not installed: run script/up, which installs it")
    return found


def _check(settings: Settings) -> None:
    """What no single setting can tell: SettingsError."""
    if sys.platform != "linux":
        raise StartError("taskengine up runs on Linux; elsewhere use docker-compose.yml")
    auth = settings.flower_auth.get_secret_value() if settings.flower_auth else None
    if auth is None and not _is_loopback(settings.host):
        raise SettingsError(
            f"{PREFIX}FLOWER_AUTH: needed as user:password, since {PREFIX}HOST {settings.host} is no loopback address"
        )
    if settings.port == settings.flower_port:
        raise SettingsError(f"{PREFIX}FLOWER_PORT: {settings.flower_port} is {PREFIX}PORT too")


def _check_ports(settings: Settings) -> None:
    for name, port in (("PORT", settings.port), ("FLOWER_PORT", settings.flower_port)):
        if not ports.is_free(settings.host, port):
            raise StartError(f"port {port} on {settings.host} is taken: stop what listens there, or set {PREFIX}{name}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _python(module: str, *arguments: str) -> Spec:
    return Spec("setup", (sys.executable, "-m", module, *arguments))


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
