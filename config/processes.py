"""The processes of an installation, with their command lines: the one list behind every way of starting them.

``taskengine up`` runs what :func:`processes` says; ``Procfile`` and ``docker-compose.yml`` spell out the same
commands, and a test keeps the three equal. Options that Celery reads from its configuration stand in
``config.celery``, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config import server
from config.settings import QUEUES, Settings

CELERY_APP = "workers.app:app"
SCHEDULER = "workers.beat:LeaderScheduler"

KINDS = ("api", *(f"worker-{queue}" for queue in QUEUES), "beat", "flower")
"""Every process there is, in the order they start."""


@dataclass(frozen=True)
class Process:
    """One process: its name, its command line, and the environment it needs beside the common one."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def processes(settings: Settings) -> tuple[Process, ...]:
    """Every process that these settings ask for; a queue whose worker has size 0 is left out."""
    sizes = settings.worker_sizes()
    workers = (_worker(settings, queue, sizes[queue]) for queue in QUEUES if sizes[queue] > 0)
    return (_api(settings), *workers, _beat(settings), _flower(settings))


def _api(settings: Settings) -> Process:
    argv = (
        "granian",
        f"--interface={server.INTERFACE}",
        f"--host={settings.host}",
        f"--port={settings.port}",
        f"--workers={server.WORKERS}",
        f"--blocking-threads={settings.api_threads}",
        f"--workers-kill-timeout={server.KILL_TIMEOUT_SECONDS}",
        f"--log-level={server.LOG_LEVEL}",
        "--no-ws",
        server.APP,
    )
    return Process("api", argv)


def _celery(*options: str) -> tuple[str, ...]:
    # Quiet: no banners; the one of `taskengine up` and the settings say it all.
    return ("celery", "-q", "-A", CELERY_APP, *options)


def _worker(settings: Settings, queue: str, size: int) -> Process:
    # Gossip and mingle let workers gossip about each other through Redis: nothing here uses it, and it costs
    # messages that grow with the square of the number of workers.
    argv = _celery(
        "worker",
        *("-Q", queue),
        *("-n", f"{queue}@%h"),
        *("-c", str(size)),
        *("-l", settings.log_level),
        "--without-gossip",
        "--without-mingle",
    )
    return Process(f"worker-{queue}", argv)


def _beat(settings: Settings) -> Process:
    # No pid file: several beats may run from one directory, the scheduler itself lets only one act.
    return Process("beat", _celery("beat", "-S", SCHEDULER, "-l", settings.log_level, "--pidfile="))


def _flower(settings: Settings) -> Process:
    # Workers send events by their own setting; Flower would otherwise switch them on again every few seconds.
    argv = _celery(
        "flower",
        f"--address={settings.host}",
        f"--port={settings.flower_port}",
        "--enable_events=False",
    )
    # The password goes by environment: command lines are there for everybody to read.
    auth = settings.flower_auth
    environment = {"FLOWER_BASIC_AUTH": auth.get_secret_value()} if auth else {}
    return Process("flower", argv, environment)
