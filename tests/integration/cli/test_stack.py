"""The command line and the client against everything that ``taskengine up`` starts; each example of the help runs."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskengine.cli import reference
from taskengine.cli.exits import Exit
from taskengine.client import Client, Conflict, Invalid, NotFound, TaskSpec, Unauthenticated, WaitTimeout
from tests.integration.cli.shell import shell
from tests.servers import open_folder

START_SECONDS = 90
WORKFLOW = """\
name: hello
variables: {greeting: hi}
steps:
  - id: greet
    type: task
    task: {type: echo, config: {message: "{{ variables.greeting }}"}}
  - id: pause
    type: wait
    seconds: 0.1
"""
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Stack:
    """A running installation: where its files are, its client, and the environment that leads to it."""

    place: Path
    client: Client
    environment: dict[str, str]

    def run(self, line: str, **names: str) -> subprocess.CompletedProcess[str]:
        return shell(line, self.place, **self.environment, **names)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with ExitStack() as cleanup:
        place = cleanup.enter_context(open_folder("taskengine-cli-"))
        (place / "config.json").write_text('{"message": "hello"}')
        specs = [
            {"type": "echo", "name": "first", "key": "first"},
            {"type": "echo", "name": "b", "depends_on": ["first"]},
        ]
        (place / "tasks.json").write_text(json.dumps({"tasks": specs}))
        (place / "token.txt").write_text("s3cret\n")
        (place / "workflow.yaml").write_text(WORKFLOW)
        port, flower_port = free_ports()
        ports = {"TASKENGINE_PORT": str(port), "TASKENGINE_FLOWER_PORT": str(flower_port)}
        log = cleanup.enter_context((place / "up.log").open("w"))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKENGINE_")}
        up = subprocess.Popen(
            [sys.executable, "-m", "taskengine", "up"], cwd=place, env={**inherited, **ports}, stdout=log, stderr=log
        )
        cleanup.callback(up.wait, 60)
        cleanup.callback(up.terminate)
        client = ready(place, f"http://127.0.0.1:{port}", up)
        client.workflows.put("hello", WORKFLOW)
        client.agents.register("reviewer-1", ["code_review"])
        yield Stack(place, cleanup.enter_context(client), {"TASKENGINE_HOME": str(place / ".taskengine")})


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def ready(place: Path, url: str, up: subprocess.Popen[bytes]) -> Client:
    """A client with the key that ``up`` left, once everything is ready."""
    key_file = place / ".taskengine" / "api-key"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and up.poll() is None:
        done = shell("taskengine doctor --json", place, TASKENGINE_URL=url)
        if done.returncode == 0:
            return Client(url, key_file.read_text().strip())
    up.terminate()
    up.wait(60)
    pytest.fail(f"not ready: {done.stdout}\n{(place / 'up.log').read_text()[-5000:]}")


def submitted(client: Client, **options: object) -> str:
    spec: TaskSpec = {"type": "echo", "name": "example", **options}  # type: ignore[typeddict-item] # laid over
    return client.tasks.create(spec)["id"]


def completed(client: Client) -> str:
    return client.wait(submitted(client), timeout=30)["id"]


def failed(client: Client) -> str:
    task_id = submitted(client, config={"fail_times": 1}, max_retries=0)
    assert client.wait(task_id, timeout=30)["status"] == "failed"
    return task_id


def manual(client: Client) -> str:
    return submitted(client, execution_type="manual")


def paused(client: Client) -> str:
    return client.tasks.pause(manual(client))["id"]


def dead_letter(client: Client) -> str:
    task_id = failed(client)
    return next(letter["id"] for letter in client.dead_letters.list() if letter["task_id"] == task_id)


def started(client: Client, *steps: dict[str, Any]) -> str:
    return client.run({"name": "example", "steps": list(steps)})["id"]


def ended_run(client: Client) -> str:
    return client.wait_run(client.run("hello")["id"], timeout=30)["id"]


def failed_run(client: Client) -> str:
    shaky = {"type": "echo", "config": {"fail_times": 1}, "max_retries": 0}
    run_id = started(client, {"id": "shaky", "type": "task", "task": shaky})
    assert client.wait_run(run_id, timeout=30)["status"] == "failed"
    return run_id


def waiting_run(client: Client) -> str:
    return started(client, {"id": "hold", "type": "wait", "signal": "go"})


NAMED: dict[str, Callable[[Client], str]] = {
    "TASK_ID": completed,
    "OTHER_TASK_ID": completed,
    "FAILED_TASK_ID": failed,
    "OPEN_TASK_ID": manual,
    "MANUAL_TASK_ID": manual,
    "PAUSED_TASK_ID": paused,
    "REVIEW_TASK_ID": lambda client: submitted(client, requires_human_review=True),
    "DEAD_LETTER_ID": dead_letter,
    "RUN_ID": ended_run,
    "OPEN_RUN_ID": waiting_run,
    "WAITING_RUN_ID": waiting_run,
    "PAUSED_RUN_ID": lambda client: client.runs.pause(waiting_run(client))["id"],
    "FAILED_RUN_ID": failed_run,
    "KEY_ID": lambda client: client.api_keys.create("to be revoked", ["read"])["id"],
    "CRM_TOKEN": lambda _: "s3cret",
}
"""What the examples take as given, made afresh for each of them."""

REFUSED = {
    # A second start on the same data directory, and a second bootstrap: both say so.
    "taskengine up": (Exit.failed, "in use"),
    "taskengine keys bootstrap": (Exit.refused, "has its key already"),
}


@pytest.mark.parametrize("line", reference.examples())
def test_every_example_runs_as_it_stands(line: str, stack: Stack) -> None:
    if "secrets delete" in line:
        stack.client.secrets.set("crm_token", "s3cret")
    names = {name: NAMED[name](stack.client) for name in re.findall(r"\$(\w+)", line)}
    done = stack.run(line, **names)
    expected, said = REFUSED.get(line, (Exit.ok, ""))
    assert done.returncode == expected, done.stderr
    assert said in done.stderr
    if line.endswith("--json") and "watch" not in line and "logs" not in line:
        json.loads(done.stdout)


def test_exit_codes_tell_what_happened(stack: Stack) -> None:
    absent = "00000000-0000-7000-8000-000000000000"
    done_id = completed(stack.client)
    cases = {
        """taskengine submit echo --config '{"fail_times": 1}' --wait --timeout 0""": Exit.timeout,
        "taskengine submit nonsense": Exit.refused,
        """taskengine submit echo --config '{"sleep_seconds": "long"}'""": Exit.refused,
        f"taskengine tasks show {absent}": Exit.not_found,
        f"taskengine tasks cancel {done_id}": Exit.refused,
        "taskengine tasks list --api-key te_wrong_key_wrong_key": Exit.denied,
        "taskengine tasks list --url http://127.0.0.1:1": Exit.unreachable,
        f"taskengine watch {failed(stack.client)}": Exit.failed,
    }
    ends = {line: stack.run(line) for line in cases}
    assert {line: done.returncode for line, done in ends.items()} == {line: int(code) for line, code in cases.items()}
    assert all(done.stderr for done in ends.values())


def test_a_key_without_the_scope_is_denied(stack: Stack) -> None:
    key = stack.client.api_keys.create("reader", ["read"])["key"]
    assert stack.run(f"taskengine tasks list --api-key {key}").returncode == Exit.ok
    denied = stack.run(f"taskengine submit echo --api-key {key}")
    assert denied.returncode == Exit.denied
    assert "scope" in denied.stderr


def test_progress_and_logs_of_a_slow_task_are_seen(stack: Stack) -> None:
    config = json.dumps({"message": 1, "sleep_seconds": 2, "log_lines": 3})
    done = stack.run(f"taskengine submit echo --config '{config}' --wait")
    assert done.returncode == Exit.ok, done.stderr
    assert [line.split()[1].rstrip(",") for line in done.stderr.splitlines()][-2:] == ["running", "completed"]
    task_id = done.stderr.split()[0]
    assert "line 3 of 3" in stack.run(f"taskengine tasks logs {task_id}").stdout


def test_the_client_finds_everything_about_a_task(stack: Stack) -> None:
    client = stack.client
    task = client.wait(client.submit("echo", {"message": [1, "two"], "log_lines": 2})["id"], timeout=30)
    assert (task["status"], task["result"]) == ("completed", {"message": [1, "two"]})
    [execution] = client.tasks.executions(task["id"])
    assert client.executions.get(execution["id"])["output"] == task["result"]
    assert [line["message"] for line in client.executions.logs(execution["id"])] == ["line 1 of 2", "line 2 of 2"]
    assert list(client.executions.steps(execution["id"])) == []
    assert list(client.tasks.artifacts(task["id"])) == []
    assert "task.completed" in [event["type"] for event in client.tasks.events(task["id"])]
    assert client.tasks.explain(task["id"])["status"] == "completed"
    client.tasks.delete(task["id"])
    with pytest.raises(NotFound):
        client.tasks.get(task["id"])


def test_a_run_is_watched_to_its_end(stack: Stack) -> None:
    done = stack.run("taskengine run workflow.yaml --watch --var greeting=hey")
    assert done.returncode == Exit.ok, done.stderr
    assert "greet  completed" in done.stderr and "pause  completed" in done.stderr
    assert "hey" in done.stdout
    watched = stack.run(f"taskengine runs watch {failed_run(stack.client)}")
    assert watched.returncode == Exit.failed
    cancelled = stack.client.runs.cancel(waiting_run(stack.client), "enough")["id"]
    assert stack.run(f"taskengine runs watch {cancelled}").returncode == Exit.cancelled


def test_a_batch_is_paged_through(stack: Stack) -> None:
    specs: list[TaskSpec] = [{"type": "echo", "name": f"page {n}", "tags": ["paged"]} for n in range(1100)]
    ids = stack.client.tasks.create_batch(specs)
    listed = [task["id"] for task in stack.client.tasks.list(tag="paged")]
    assert listed == sorted(ids, reverse=True)
    assert len(list(stack.client.tasks.list(tag="paged", status=["queued", "running", "completed"], limit=7))) == 7


def test_the_same_idempotency_key_creates_one_task(stack: Stack) -> None:
    one = stack.client.submit("echo", {"message": 1}, idempotency_key="only-once")
    again = stack.client.submit("echo", {"message": 1}, idempotency_key="only-once")
    assert one["id"] == again["id"]
    with pytest.raises(Conflict):
        stack.client.submit("echo", {"message": 2}, idempotency_key="only-once")


def test_the_api_refuses_in_typed_errors(stack: Stack) -> None:
    with pytest.raises(Invalid) as caught:
        stack.client.submit("echo", {"sleep_seconds": "long", "nonsense": 1})
    assert {error.loc[-1] for error in caught.value.errors} == {"sleep_seconds", "nonsense"}
    with Client(stack.client.base_url, "te_wrong_key_wrong_key") as stranger, pytest.raises(Unauthenticated):
        next(stranger.tasks.list())


def test_waiting_for_what_does_not_end_ends_in_time(stack: Stack) -> None:
    task_id = manual(stack.client)
    with pytest.raises(WaitTimeout) as caught:
        stack.client.wait(task_id, timeout=0.5)
    assert caught.value.task["status"] == "pending"
    assert stack.client.tasks.update(task_id, {"priority": "critical"})["priority"] == "critical"
    assert stack.client.tasks.cancel(task_id, "enough")["status"] == "cancelled"
