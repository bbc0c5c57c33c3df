"""`taskengine up` as a whole: the real command, the real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.processes import KINDS
from config.settings import Settings
from taskengine.embedded import stack
from taskengine.embedded.errors import StartError
from taskengine.embedded.home import Home
from tests.integration.embedded.running import Program, gone, program, wait_until
from tests.servers import open_folder

PROGRAM = "taskengine.cli.up"
READY_SECONDS = 90.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("taskengine test ") as path:
        yield path


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    port, flower_port = free_ports()
    return {
        "TASKENGINE_HOME": str(folder / "data"),
        "TASKENGINE_PORT": str(port),
        "TASKENGINE_FLOWER_PORT": str(flower_port),
        "TASKENGINE_WORKERS": "integration=1",
    }


def call(environment: dict[str, str], key: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{environment['TASKENGINE_PORT']}{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def echo(message: str, **config: object) -> dict[str, Any]:
    return {"name": message, "type": "echo", "config": {"message": message, **config}}


def processes_of(running: Program) -> list[int]:
    return [child.pid for child in psutil.Process(running.process.pid).children(recursive=True)]


def test_a_life_of_an_installation(folder: Path, environment: dict[str, str]) -> None:
    # The first start, from a folder that has packages called like ours.
    for name in ("config", "api", "workers"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    with program(PROGRAM, folder=folder, **environment) as running:
        running.line("taskengine is ready", READY_SECONDS)
        key = running.line("API key").split()[-1]
        running.line("curl -i")
        task = call(environment, key, "/v1/tasks", echo("first"))
        assert call(environment, key, f"/v1/tasks/{task['id']}?wait=10")["result"] == {"message": "first"}
        started = {child.name() for child in psutil.Process(running.process.pid).children()}
        assert started >= {"postgres", "valkey-server", "granian", "celery"}
        note = json.loads((folder / "data" / "running.json").read_text())
        assert note["pid"] == running.process.pid
        unfinished = call(environment, key, "/v1/tasks", echo("later", sleep_seconds=60))
        wait_until(
            lambda: call(environment, key, f"/v1/tasks/{unfinished['id']}")["status"] == "running", "the task runs"
        )

        # A second start on the same data, and one on the same port, meanwhile.
        with program(PROGRAM, folder=folder, **environment) as second:
            assert second.process.wait(30) == 1
            assert second.rest() == (
                f"taskengine: the data directory {folder}/data is in use by process {running.process.pid}"
            )
        with program(PROGRAM, folder=folder, **environment | {"TASKENGINE_HOME": "elsewhere"}) as second:
            assert second.process.wait(30) == 1
            assert second.rest() == (
                f"taskengine: port {environment['TASKENGINE_PORT']} on 127.0.0.1 is taken: "
                "stop what listens there, or set TASKENGINE_PORT"
            )

        # A crashed process comes back.
        api = next(c for c in psutil.Process(running.process.pid).children() if "granian" in " ".join(c.cmdline()))
        api.kill()
        running.line("api was killed by SIGKILL")

        # A stop, in time although a task runs.
        pids = processes_of(running)
        assert running.end(signal.SIGTERM, 15) == 0
        assert all(map(gone, pids))
        assert not (folder / "data" / "running.json").exists()
        assert key not in "".join(file.read_text() for file in (folder / "data" / "logs").iterdir())

    # The second start goes on; it is killed and leaves nothing behind.
    with program(PROGRAM, folder=folder, **environment) as running:
        running.line("taskengine is ready", READY_SECONDS)
        assert running.line("API key").split()[-1] == key
        assert call(environment, key, f"/v1/tasks/{task['id']}")["status"] == "completed"
        pids = processes_of(running)
        running.end(signal.SIGKILL)
        wait_until(lambda: all(map(gone, pids)), "no orphans", seconds=5)

    # And the third finds all as it was.
    with program(PROGRAM, folder=folder, **environment) as running:
        running.line("taskengine is ready", READY_SECONDS)
        cut = call(environment, key, f"/v1/tasks/{unfinished['id']}")
        assert cut["status"] in {"queued", "retrying", "running", "deferred"}
        assert running.end(signal.SIGINT, 15) == 0


def test_outside_servers_are_used_by_their_addresses(
    folder: Path, environment: dict[str, str], settings: Settings
) -> None:
    outside = environment | {
        "TASKENGINE_DATABASE_URL": str(settings.database_url),
        "TASKENGINE_REDIS_URL": str(settings.redis_url),
    }
    with program(PROGRAM, folder=folder, **outside) as running:
        running.line("taskengine is ready", READY_SECONDS)
        children = {child.name() for child in psutil.Process(running.process.pid).children()}
        assert not children & {"postgres", "valkey-server"}
        assert running.end(signal.SIGTERM, 15) == 0
    assert not (folder / "data" / "postgres").exists()


def test_an_address_where_nothing_answers_is_told_in_one_line(folder: Path, environment: dict[str, str]) -> None:
    port = free_ports()[0]
    wrong = environment | {"TASKENGINE_DATABASE_URL": f"postgresql://127.0.0.1:{port}/x"}
    with program(PROGRAM, folder=folder, **wrong) as running:
        assert running.process.wait(60) == 1
        assert (
            running.rest()
            .splitlines()[-1]
            .startswith(f"taskengine: TASKENGINE_DATABASE_URL: cannot connect to 127.0.0.1:{port}: ")
        )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"TASKENGINE_PORT": "many", "TASKENGINE_WORKERS": "browsr=1"},
            ["TASKENGINE_PORT: ", "TASKENGINE_WORKERS: "],
        ),
        ({"TASKENGINE_HOST": "0.0.0.0"}, ["TASKENGINE_FLOWER_AUTH: needed as user:password"]),
        ({"TASKENGINE_FLOWER_PORT": "8000"}, ["TASKENGINE_FLOWER_PORT: 8000 is TASKENGINE_PORT too"]),
    ],
)
def test_wrong_settings_are_told_one_line_each(folder: Path, wrong: dict[str, str], told: list[str]) -> None:
    with program(PROGRAM, folder=folder, **wrong) as running:
        assert running.process.wait(30) == 2
        lines = running.rest().splitlines()
        assert len(lines) == len(told)
        assert all(line.startswith(start) for line, start in zip(sorted(lines), sorted(told), strict=True))


def test_a_host_that_is_this_machine_needs_no_flower_password(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(StartError, match=f"port {taken} on localhost is taken"):
            stack.run(Settings(home=folder / "data", host="localhost", flower_port=taken, port=free_ports()[0]))


def test_every_process_has_its_patience_and_its_place_in_the_order() -> None:
    staged = [name for names in stack._STOP_STAGES for name in names]
    assert set(staged) == {*KINDS, "redis", "postgres", "setup"}
    assert set(stack._STOP_PATIENCE) == set(KINDS)
    assert sum(max(stack._STOP_PATIENCE.get(n, 0) for n in names) for names in stack._STOP_STAGES) < stack.STOP_SECONDS


def test_processes_get_our_environment_with_its_paths_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}/opt/lib")
    settings = Settings.model_validate(
        {"redis_url": "redis://r", "database_url": "postgresql://d", "encryption_key": "k", "celery_app": "shop:app"}
    )
    environment = stack.child_environment(settings)
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(tmp_path / "lib"), "/opt/lib", str(tmp_path)]
    assert environment["TASKENGINE_REDIS_URL"] == "redis://r"
    assert environment["TASKENGINE_DATABASE_URL"] == "postgresql://d"
    assert environment["TASKENGINE_ENCRYPTION_KEY"] == "k"


def test_a_command_that_is_not_installed_is_told() -> None:
    with pytest.raises(StartError, match="the command no-such-command is not installed: run script/up"):
        stack.executable("no-such-command")
    assert Path(stack.executable("celery")).is_file()
    assert stack.executable("sh").startswith("/")


def test_the_encryption_key_is_made_once(folder: Path) -> None:
    first = Home(folder / "data").secret("encryption.key", stack._fernet_key)
    assert len(first) == 44
    assert Home(folder / "data").secret("encryption.key", stack._fernet_key) == first
