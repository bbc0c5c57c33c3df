"""taskengine as ``taskengine up`` runs it: API, an integration worker with a pool of two, control worker, beat."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import redis
from cryptography.fernet import Fernet
from pydantic import SecretStr

from benchmarks.contender import BenchmarkError, Finish, Mode, check_results, payload, until
from benchmarks.http_client import Client, free_port, post_all
from benchmarks.processes import Processes
from benchmarks.redis_counters import redis_counters
from benchmarks.servers import Servers
from benchmarks.stats import ENGINE
from benchmarks.wire import Wire
from config.processes import processes
from config.settings import PREFIX, Settings
from taskengine import runtime
from taskengine.domain.task import TaskSpec
from taskengine.embedded.stack import executable
from taskengine.lifecycle import keys
from taskengine.lifecycle.submit import submit
from taskengine.lifecycle.wait import wait

REDIS_DATABASE = 10
DATABASE = "bench"
QUEUE = "integration"
WORKER = f"worker-{QUEUE}"
PARTS = ("api", WORKER, "worker-control", "beat")
SETTLE_SECONDS = 120
POLL_SECONDS = 0.05


def spec(number: int) -> dict[str, object]:
    """Task ``number`` as a client sends it."""
    return {"name": "bench", "type": "echo", "config": {"message": payload(number)}}


class EngineSide:
    """Starts on a new, empty database each time. Task events are off, as they are for Celery."""

    name = ENGINE

    def __init__(self, servers: Servers, environment: Mapping[str, str] | None = None) -> None:
        """``environment`` is what the processes get beside the settings."""
        self._servers = servers
        self._environment = environment or {}
        self._processes = Processes(servers.folder)

    def start(self, *, waited: bool, metered: bool) -> None:  # noqa: ARG002 - clients may wait at any time
        """Make the database, start the processes, and wait until they are ready."""
        url = self._servers.database_url.rpartition("/")[0] + f"/{DATABASE}"
        self._make_database()
        self._wire = Wire(urlsplit(url).port or 5432) if metered else None
        if self._wire:
            url = url.replace(f":{urlsplit(url).port}/", f":{self._wire.port}/")
        settings = self._settings(url)
        runtime.migrate(settings)
        self._engine = runtime.build(settings)
        keys.bootstrap(self._engine)
        caller = keys.authenticate(self._engine, self._key)
        assert caller is not None, "the key that was just made is known"
        self._caller = caller
        self._client = Client(settings.port, self._headers)
        self._record = psycopg.connect(self._servers.database_url.rpartition("/")[0] + f"/{DATABASE}", autocommit=True)
        for process in processes(settings):
            if process.name in PARTS:
                argv = (executable(process.argv[0]), *process.argv[1:])
                environment = {**_environment(settings), **process.environment, **self._environment}
                self._processes.start(process.name, argv, environment)
        until(self._ready, "taskengine is ready", 60)

    def _make_database(self) -> None:
        with psycopg.connect(self._servers.database_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {DATABASE}")
        self._redis = redis.Redis.from_url(self._servers.redis(REDIS_DATABASE))
        self._redis.flushdb()

    def _settings(self, database_url: str) -> Settings:
        self._key = secrets.token_urlsafe(24)
        self._headers = {"Authorization": f"Bearer {self._key}"}
        return Settings(
            home=self._servers.folder,
            port=free_port(),
            redis_url=self._servers.redis(REDIS_DATABASE),
            database_url=database_url,
            bootstrap_api_key=SecretStr(self._key),
            encryption_key=SecretStr(Fernet.generate_key().decode()),
            workers="integration=2,control=1,browser=0,reporting=0,automation=0",
            log_level="WARNING",
        )

    def _ready(self) -> bool:
        self._processes.check()
        return self._client.answers("/readyz", below=300)

    def stop(self) -> None:
        """Stop the processes and close what this process opened."""
        self._processes.stop()
        for opened in (self._client, self._engine, self._record, self._redis, self._wire):
            if opened is not None:
                opened.close()

    def reset(self) -> None:
        """Empty the record of tasks."""
        self._record.execute("TRUNCATE tasks, executions, events, outbox CASCADE")

    def floods(self) -> Mapping[Mode, Callable[[int], None]]:
        """Over HTTP and in this process."""
        each = partial(post_all, self._client.port, "/v1/tasks", spec, headers=self._headers, expected=201)
        return {
            Mode("batch", "POST /v1/tasks/batch"): self._post_batch,
            Mode("batch", "submit(), all at once"): self._submit_batch,
            Mode("one by one", "submit()"): self._submit_each,
            Mode("one by one", "HTTP, 1 client"): partial(each, 1),
            Mode("one by one", "HTTP, 4 clients"): partial(each, 4),
        }

    def _post_batch(self, count: int) -> None:
        self._client.call("POST", "/v1/tasks/batch", {"tasks": [spec(n) for n in range(count)]}, 201)

    def _submit_batch(self, count: int) -> None:
        submit(self._engine, self._caller, [TaskSpec.model_validate(spec(n)) for n in range(count)])

    def _submit_each(self, count: int) -> None:
        for number in range(count):
            submit(self._engine, self._caller, [TaskSpec.model_validate(spec(number))])

    def settle(self, count: int) -> Finish:
        """The record has status, result and time of each task's end."""
        until(lambda: self._finished() >= count, f"{self.name} finished {count}", SETTLE_SECONDS, POLL_SECONDS)
        rows = self._record.execute(
            "SELECT status, result, extract(epoch FROM completed_at)::float8 FROM tasks"
        ).fetchall()
        if wrong := [row for row in rows if row[0] != "completed"]:
            raise BenchmarkError(f"{self.name}: {len(wrong)} tasks did not complete: {wrong[0]}")
        check_results(self.name, [result["message"] for _, result, _ in rows], count)
        ends = [end for _, _, end in rows]
        return Finish(first=min(ends), last=max(ends), at_first=ends.count(min(ends)))

    def _finished(self) -> int:
        self._processes.check()
        row = self._record.execute("SELECT count(completed_at) FROM tasks").fetchone()
        return int(row[0]) if row else 0

    def hold(self) -> None:
        """Pause the queue."""
        self._client.call("POST", f"/v1/queues/{QUEUE}/pause", {}, 200)

    def release(self) -> None:
        """Resume it."""
        self._client.call("POST", f"/v1/queues/{QUEUE}/resume", {}, 200)

    def singles(self) -> Mapping[Mode, Callable[[int], object]]:
        """In this process, in one request, and in two."""
        return {
            Mode("latency in process", "submit(), wait()"): self._run_here,
            Mode("latency over HTTP", "POST ?wait"): self._run_in_one_request,
            Mode("latency over HTTP", "POST, then GET ?wait"): self._run_in_two_requests,
        }

    def _run_here(self, number: int) -> object:
        ids = submit(self._engine, self._caller, [TaskSpec.model_validate(spec(number))])
        return _result(wait(self._engine, self._caller, UUID(str(ids[0])), 10))

    def _run_in_one_request(self, number: int) -> object:
        return _result(self._client.call("POST", "/v1/tasks?wait=10", spec(number), 201))

    def _run_in_two_requests(self, number: int) -> object:
        posted = self._client.call("POST", "/v1/tasks", spec(number), 201)
        return _result(self._client.call("GET", f"/v1/tasks/{posted['id']}?wait=10", None, 200))

    def trees(self) -> Mapping[str, list[int]]:
        """The worker that runs the tasks, and all processes."""
        return {"whole stack": self._processes.pids(), "workers": self._processes.pids(WORKER)}

    def roots(self) -> Mapping[str, int]:
        """Each process of the stack by its name, without those below it."""
        return {name: self._processes.pids(name)[0] for name in PARTS}

    def counters(self) -> Mapping[str, float]:
        """What Redis counts, and what went over the wire to Postgres."""
        return {**(self._wire.counts() if self._wire else {}), **redis_counters(self._redis)}


def _environment(settings: Settings) -> dict[str, str]:
    """These settings for a child process."""
    plain = settings.model_dump(exclude_none=True, exclude_unset=True)
    return {
        PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in plain.items()
    }


def _result(task: dict[str, object]) -> object:
    result = task["result"]
    return result["message"] if isinstance(result, dict) else task
