"""What ``doctor`` looks at. A check finds out one thing, never raises, and says how to mend what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from taskengine.cli import local

if TYPE_CHECKING:
    from config.settings import Settings
    from taskengine.client import Client

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 15
OLDEST_REDIS = 7
LEAST_FREE_BYTES = 1 << 30
MOST_SKEW_SECONDS = 2.0
"""HTTP tells the time in whole seconds, so less than this cannot be told from none."""
_PATIENCE_SECONDS = 3
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class State(StrEnum):
    """How a check ended.

    ``note``: only some tasks need it, and where it is not they fail with the reason; ``unknown`` is for what could not
    be found out because of another fault.
    """

    ok = "ok"
    note = "note"
    fault = "FAULT"
    unknown = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report; ``advice`` says how to mend a fault."""

    name: str
    state: State
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name, State.ok, detail)


def fault(name: str, detail: str, advice: str) -> Check:
    """Something is wrong, and this mends it."""
    return Check(name, State.fault, detail, advice)


def python() -> Check:
    """The interpreter is one that the project supports."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST_PYTHON:
        return fault("python", version, "Install Python 3.11 or later, and run script/up with it.")
    return ok("python", version)


def data_directory(home: Path) -> Check:
    """The data directory can be written, or made, and has room."""
    home = home.absolute()
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if not _writable(place):
        advice = f"Make it writable for this user, or set TASKENGINE_HOME to another directory than {home}."
        return fault("data directory", f"{place} cannot be written", advice)
    room = f"{home}, {free / 2**30:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return fault("data directory", room, "Free some space: Postgres stops when the disk is full.")
    return ok("data directory", room)


def _writable(place: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def programs(chromium: Path | None) -> Iterator[Check]:
    """What browser tasks and sandboxed scripts run is on this machine; their workers may be on another."""
    bundled = Path.home() / ".cache/ms-playwright"
    if chromium is not None:
        found = str(chromium) if os.access(chromium, os.X_OK) else None
    else:
        found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
        found = found or next((str(path) for path in bundled.glob("chromium-*")), None)
    yield _program("chromium", found, "browser tasks fail", "apt-get install chromium, or set TASKENGINE_CHROMIUM")
    yield _program("sandbox", shutil.which("bwrap"), "tasks that run programs fail", "apt-get install bubblewrap")


def _program(name: str, found: str | None, without: str, advice: str) -> Check:
    if found is not None:
        return ok(name, found)
    return Check(name, State.note, f"not on this machine: {without} here", f"If workers run here: {advice}.")


def postgres(settings: Settings) -> Check:
    """The database answers and is new enough."""
    import psycopg  # noqa: PLC0415 - doctor only

    url = (settings.database_url or "").replace("+psycopg", "", 1)
    try:
        with psycopg.connect(url, connect_timeout=_PATIENCE_SECONDS) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        advice = "Start it, or mend TASKENGINE_DATABASE_URL (user, password, host, port, database)."
        return fault("postgres", f"{address(url)}: {_first_line(error)}", advice)
    detail = f"{version // 10000}.{version % 10000} at {address(url)}"
    if version // 10000 < OLDEST_POSTGRES:
        return fault("postgres", detail, f"Use PostgreSQL {OLDEST_POSTGRES} or later.")
    return ok("postgres", detail)


def migrations(settings: Settings) -> Check:
    """The schema is the one that this version needs."""
    from taskengine import runtime  # noqa: PLC0415 - loads SQLAlchemy and Celery

    with local.reachable():
        pending = runtime.pending_migrations(settings)
    if pending:
        return fault("migrations", f"{len(pending)} to apply: {', '.join(pending)}", "Run: taskengine migrate")
    return ok("migrations", "up to date")


def redis(settings: Settings) -> Iterator[Check]:
    """The broker answers, is new enough, never throws queues away, and its clock is right."""
    import redis as driver  # noqa: PLC0415 - doctor only

    url = settings.redis_url or ""
    try:
        with driver.Redis.from_url(
            url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS
        ) as connection:
            info: dict[str, Any] = connection.info()
            seconds, microseconds = connection.time()
    except (driver.RedisError, ValueError) as error:
        advice = "Start it, or mend TASKENGINE_REDIS_URL (host, port, password)."
        yield fault("redis", f"{address(url)}: {_first_line(error)}", advice)
        return
    version = str(info.get("redis_version", "0"))
    detail = f"{version} at {address(url)}"
    if int(version.partition(".")[0]) < OLDEST_REDIS:
        yield fault("redis", detail, f"Use Redis {OLDEST_REDIS} or later, or Valkey.")
    else:
        yield ok("redis", detail)
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        yield ok("redis memory", "noeviction")
    else:
        advice = "Run: redis-cli config set maxmemory-policy noeviction, and set it in redis.conf."
        yield fault("redis memory", f"{policy}: a full Redis would drop queues", advice)
    yield clock("redis clock", seconds + microseconds / 1e6)


def clock(name: str, other_seconds: float) -> Check:
    """Another machine's clock agrees with this one's."""
    skew = other_seconds - time.time()
    if abs(skew) > MOST_SKEW_SECONDS:
        advice = "Set the clocks of both machines by NTP: due times and leases go by them."
        return fault(name, f"{skew:+.1f} s off this machine's", advice)
    return ok(name, f"within {MOST_SKEW_SECONDS:g} s of this machine's")


def api(client: Client) -> Iterator[Check]:
    """The API answers, its own checks pass (beat and workers are among them), and its clock is right."""
    from taskengine.client import ClientError  # noqa: PLC0415 - loads requests, which takes 0.1 s

    try:
        ready = client.ready()
        seconds = client.server_clock()
    except ClientError as error:
        yield fault("api", str(error), "Start it: taskengine up; or name another: --url, TASKENGINE_URL.")
        return
    state = State.ok if ready["status"] == "ready" else State.fault
    advice = "" if state is State.ok else "See the faults below."
    yield Check("api", state, f"{ready['status']} at {client.base_url}", advice)
    for name, check in ready["checks"].items():
        if check["ok"]:
            yield ok(f"api: {name}", check["detail"])
        else:
            yield fault(f"api: {name}", check["detail"], _advice(name))
    if seconds is not None:
        yield clock("api clock", seconds)


def queues(client: Client) -> Iterator[Check]:
    """The key opens the API, and how each queue stands. That a paused queue rests is no fault: somebody paused it."""
    from taskengine.client import ClientError  # noqa: PLC0415 - see api

    try:
        found = client.queues.list()
    except ClientError as error:
        yield fault("api key", str(error), "Pass --api-key, or set TASKENGINE_API_KEY.")
        return
    yield ok("api key", "accepted")
    for queue in found:
        detail = f"{queue['depth']} waiting, {queue['running']} running, workers: {queue['workers']}"
        if queue["paused"]:
            detail += f"; paused (end it: taskengine queues resume {queue['name']})"
        yield ok(f"queue {queue['name']}", detail)


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """A check whose own failure is a fault, so that the others still run."""
    try:
        return check()
    except Exception as error:
        return fault(name, _first_line(error), _LOOK_AT_THE_LOG)


def address(url: str) -> str:
    """Where a URL points, without the user and the password."""
    parts = urlsplit(url)
    return f"{parts.hostname or os.uname().nodename}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _advice(name: str) -> str:
    """What mends a failed check of ``/readyz``."""
    if name.startswith("worker-"):
        queue = name.removeprefix("worker-")
        return f"Start one: celery -A workers.app:app worker -Q {queue} -n {queue}@%h; or everything: taskengine up"
    return _ADVICE.get(name, _LOOK_AT_THE_LOG)


_LOOK_AT_THE_LOG = "Look at the log of `taskengine up`, in TASKENGINE_HOME/logs."
_ADVICE = {
    "beat": "Start it: celery -A workers.app:app beat -S workers.beat:LeaderScheduler; or everything: taskengine up",
    "redis": "The API cannot reach it: compare TASKENGINE_REDIS_URL of both.",
    "postgres": "The API cannot reach it: compare TASKENGINE_DATABASE_URL of both.",
}
