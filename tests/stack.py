"""A whole installation as real processes, for tests: each can be stopped, killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
import pytest
import requests
from psycopg.rows import DictRow, dict_row

from config.processes import Process, processes
from config.settings import PREFIX, Settings, inherited
from taskengine import runtime
from taskengine.embedded import linux, ports
from taskengine.embedded.stack import PROJECT, executable
from taskengine.lifecycle import keys
from taskengine.store.cipher import new_key
from tests.servers import Servers

T = TypeVar("T")

API_KEY = "te_key-of-the-default-organization"
_TAIL_LINES = 40


def eventually(look: Callable[[], T], seconds: float, what: str, *, pause: float = 0.02) -> T:
    """The one poll loop: what ``look`` returns once that is true; AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
    return found


def _leads(pid: int) -> bool:
    """Whether a process leads a group of its own; one that has just ended does not."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


class Stack:
    """The processes of one installation by name, on one database and one Redis.

    ``settings`` are fields of Settings that differ from their defaults; ``pythonpath`` is searched first by every
    process. Nothing runs until :meth:`start`.
    """

    def __init__(
        self, servers: Servers, database_url: str, folder: Path, *, pythonpath: Iterable[Path] = (), **settings: Any
    ) -> None:
        port = ports.pick(None)
        values: dict[str, Any] = {
            "home": folder / "home",
            "port": port,
            "flower_port": ports.pick(None, frozenset({port})),
            "redis_url": servers.redis_url,
            "database_url": database_url,
            "encryption_key": new_key(),
            "bootstrap_api_key": API_KEY,
        } | settings
        self.settings = Settings(**values)
        self.servers = servers
        self.base = f"http://127.0.0.1:{port}"
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._environment = {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
        self._environment["PYTHONPATH"] = os.pathsep.join(map(str, pythonpath))
        self.known: dict[str, Process] = {process.name: process for process in processes(self.settings)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._own: dict[str, dict[str, str]] = {}
        self._session = requests.Session()
        self._record: psycopg.Connection[DictRow] | None = None
        self._bootstrap()

    def _bootstrap(self) -> None:
        engine = runtime.build(self.settings)
        keys.bootstrap(engine)
        self.other_key = str(keys.add_organization(engine, "other")["key"])
        engine.close()

    # Processes

    @property
    def names(self) -> list[str]:
        """The processes that run."""
        return list(self._running)

    def copy(self, name: str, number: int) -> str:
        """Make another instance of a process known, as a second container would be; returns its name."""
        argv = tuple(part.replace("@%h", f"@{number}.%h") for part in self.known[name].argv)
        made = f"{name}-{number}"
        self.known[made] = Process(made, argv, self.known[name].environment)
        return made

    def start(self, *names: str, **environment: str) -> None:
        """Start processes, with settings of their own if any are named."""
        for name in names:
            assert name not in self._running, f"{name} runs"
            process = self.known[name]
            self._own[name] = environment
            with self.log(name).open("ab") as log:
                self._running[name] = _spawn(
                    (executable(process.argv[0]), *process.argv[1:]),
                    inherited() | self._environment | dict(process.environment) | environment,
                    log.fileno(),
                )

    def differs(self, name: str) -> bool:
        """Whether a process was started with settings of its own."""
        return bool(self._own[name])

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until /readyz says ready."""
        try:
            # Seldom: looking takes time from those that start.
            eventually(self._ready, seconds, "ready", pause=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._last_state()}") from None

    def _last_state(self) -> Any:
        with contextlib.suppress(requests.RequestException):
            return self._session.get(f"{self.base}/readyz", timeout=5).text
        return "no answer"

    def _ready(self) -> bool:
        try:
            state = self._session.get(f"{self.base}/readyz", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return bool(state["status"] == "ready")

    def pid(self, name: str) -> int:
        """The main process's id."""
        return self._running[name].pid

    def pool(self, name: str) -> list[int]:
        """The ids of a worker's pool processes."""
        return [child.pid for child in psutil.Process(self.pid(name)).children() if _leads(child.pid)]

    def stop(self, name: str, seconds: float = 30) -> int:
        """End a process politely; its exit code."""
        process = self._running.pop(name)
        process.terminate()
        return process.wait(seconds)

    def kill(self, *names: str) -> None:
        """End main processes with SIGKILL, all at once; of the API its whole group, which has one worker in it."""
        ended = [self._running.pop(name) for name in names]
        for name, process in zip(names, ended, strict=True):
            if name == "api":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        for process in ended:
            process.wait(10)

    def freeze(self, name: str) -> list[int]:
        """Stop a process and all below it where they stand; the ids, for :func:`thaw`."""
        main = psutil.Process(self.pid(name))
        pids = [main.pid, *(child.pid for child in main.children(recursive=True))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    def close(self) -> None:
        """End everything."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + 15
        for process in self._running.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        self._running.clear()
        self._session.close()
        self.forget_connection()

    # Logs

    def log(self, name: str) -> Path:
        """The file that a process writes to."""
        return self.logs / f"{name}.log"

    def tails(self) -> list[tuple[str, str]]:
        """The end of every log, by name."""
        return [
            (path.stem, "\n".join(path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]))
            for path in sorted(self.logs.iterdir())
        ]

    # The door

    def call(
        self, method: str, path: str, body: Any = None, *, key: str = API_KEY, **headers: str
    ) -> requests.Response:
        """One request; the answer whatever it is."""
        headers |= {"Authorization": f"Bearer {key}"}
        return requests.request(method, self.base + path, json=body, headers=headers, timeout=60)

    def get(self, path: str, *, key: str = API_KEY) -> Any:
        """What a GET answers."""
        answer = self.call("GET", path, key=key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, *, key: str = API_KEY) -> Any:
        """What a POST answers that succeeds."""
        answer = self.call("POST", path, {} if body is None else body, key=key)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def submit(self, spec: dict[str, Any], *, key: str = API_KEY, wait: float = 0) -> dict[str, Any]:
        """Post one task, laid over an echo; the task as it is then, or at its end within ``wait`` seconds."""
        path = f"/v1/tasks?wait={wait:g}" if wait else "/v1/tasks"
        task: dict[str, Any] = self.post(path, {"name": "test", "type": "echo"} | spec, key=key)
        return task

    def submit_batch(self, specs: Sequence[dict[str, Any]], *, key: str = API_KEY) -> list[str]:
        """Post tasks in one batch; their ids."""
        tasks = [{"name": "test", "type": "echo"} | spec for spec in specs]
        ids: list[str] = self.post("/v1/tasks/batch", {"tasks": tasks}, key=key)["ids"]
        return ids

    def task(self, task_id: str, *, wait: float = 0, key: str = API_KEY) -> dict[str, Any]:
        """A task as clients see it, at its end if that comes within ``wait`` seconds."""
        task: dict[str, Any] = self.get(f"/v1/tasks/{task_id}" + (f"?wait={wait:g}" if wait else ""), key=key)
        return task

    # The record

    @property
    def record(self) -> psycopg.Connection[DictRow]:
        """A connection to the database, opened when it is first used."""
        if self._record is None:
            self._record = psycopg.connect(str(self.settings.database_url), autocommit=True, row_factory=dict_row)
        return self._record

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Look into the record behind the engine's back."""
        cursor = self.record.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def forget_connection(self) -> None:
        """Let go of the connection to a Postgres that goes away."""
        if self._record is not None:
            self._record.close()
            self._record = None


def _spawn(argv: Sequence[str], environment: dict[str, str], log: int) -> subprocess.Popen[bytes]:
    tests = os.getpid()
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=PROJECT,
        start_new_session=True,
        preexec_fn=lambda: linux.die_with(tests, signal.SIGKILL),  # noqa: PLW1509 - from the main thread only
    )


def thaw(pids: Iterable[int]) -> None:
    """Let frozen processes go on."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def show_logs(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put the end of every process's log into the report of a failed test."""
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections += stack.tails()
