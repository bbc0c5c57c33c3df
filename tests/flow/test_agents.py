"""The example's agent, and bare HTTP calls, against a whole installation."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import API_KEY, Stack, eventually

ROOT = Path(__file__).parents[2]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(stack: Stack, tmp_path: Path) -> Iterator[Start]:
    """Starts the example's agent by an id, and waits until it is registered; ends it with the test."""
    running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def begin(agent_id: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "examples" / "agent" / "agent.py"), "--url", stack.base]
        command += ["--id", agent_id, "--lease-seconds", "4", *options]
        with (tmp_path / agent_id).open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=tmp_path, env={"TASKENGINE_API_KEY": API_KEY}
            )
        running.append((agent_id, process))
        eventually(lambda: stack.call("GET", f"/v1/agents/{agent_id}").status_code == 200, 20, f"{agent_id} registered")
        return process

    yield begin
    for agent_id, process in running:
        process.kill()
        process.wait()
        stack.call("DELETE", f"/v1/agents/{agent_id}")


def slow(seconds: float) -> dict[str, Any]:
    payload = {"text": "one two", "pause_seconds": seconds}
    return {"type": "custom", "config": {"capability": "word_count", "payload": payload}}


def holder(stack: Stack, task_id: str) -> str | None:
    """Who runs a task at this moment."""
    rows = stack.sql("SELECT worker FROM executions WHERE task_id = %s AND status = 'running'", task_id)
    return rows[0]["worker"] if rows else None


def attempts(stack: Stack, task_id: str) -> list[tuple[str, str]]:
    found = stack.get(f"/v1/tasks/{task_id}/executions")["items"]
    return [(item["status"], item["worker"]) for item in reversed(found)]


def test_the_examples_run_with_the_examples_agent(stack: Stack, start: Start) -> None:
    start("ann")
    ids = {}
    for name in ("custom", "code_review", "system_function"):
        batch = json.loads((ROOT / "examples" / f"{name}.json").read_text())
        [ids[name]] = stack.submit_batch(batch.get("tasks", [batch]))
    counted = stack.task(ids["custom"], wait=30)
    assert (counted["status"], counted["result"]) == ("completed", {"words": 13, "longest": "leases"})
    # Nobody was named to review it, and there is no language model: a worker handed it over.
    review = stack.task(ids["code_review"], wait=30)
    assert review["status"] == "completed"
    assert review["result"]["executor"] == "agent"
    assert [(item["line"], item["severity"]) for item in review["result"]["comments"]] == [(2, "info"), (3, "error")]
    assert [worker for _, worker in attempts(stack, ids["code_review"])][1:] == ["agent:ann"]
    assert stack.task(ids["system_function"], wait=30)["result"]["function"] == "engine.now"


def test_a_run_goes_on_with_what_an_agent_gave(stack: Stack, start: Start) -> None:
    start("ann")
    steps = [
        {"id": "count", "type": "task", "task": slow(0)},
        {"id": "say", "type": "task", "task": {"type": "echo", "config": {"message": "{{ context.count.words }}"}}},
    ]
    run = stack.post("/v1/runs?wait=30", {"definition": {"name": "words", "steps": steps}})
    assert (run["status"], run["results"]["say"]) == ("completed", {"message": 2})


def test_a_task_of_an_agent_that_is_killed_goes_to_another(stack: Stack, start: Start) -> None:
    killed = start("ann")
    task_id = stack.submit(slow(600))["id"]
    eventually(lambda: holder(stack, task_id) == "agent:ann", 20, "leased")
    [lease] = stack.get("/v1/agents/ann")["leases"]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stack.post("/v1/agents", {"id": "bob", "capabilities": ["word_count"]})
    [again] = stack.post("/v1/agents/bob/lease", {"wait": 30})["leases"]
    assert (again["task_id"], again["attempt"]) == (task_id, 2)
    late = stack.call("POST", f"/v1/leases/{lease['id']}/complete", {"result": {"words": 99}})
    assert (late.status_code, late.json()["code"]) == (409, "lease_over")
    stack.post(f"/v1/leases/{again['id']}/complete", {"result": {"words": 2}})
    assert stack.task(task_id)["result"] == {"words": 2}
    assert attempts(stack, task_id) == [("lost", "agent:ann"), ("succeeded", "agent:bob")]
    assert stack.call("DELETE", "/v1/agents/bob").status_code == 204


def test_work_that_is_cancelled_stops(stack: Stack, start: Start) -> None:
    start("ann")
    task_id = stack.submit(slow(600))["id"]
    eventually(lambda: holder(stack, task_id) == "agent:ann", 20, "leased")
    stack.post(f"/v1/tasks/{task_id}/cancel", {"reason": "enough"})
    assert stack.task(task_id, wait=20)["status"] == "cancelled"
    assert attempts(stack, task_id) == [("cancelled", "agent:ann")]


def test_an_agent_that_is_told_to_end_ends_its_work_and_signs_off(stack: Stack, start: Start, tmp_path: Path) -> None:
    process = start("ann")
    task_id = stack.submit(slow(1))["id"]
    # What it has not begun goes to others when it signs off.
    eventually(lambda: "begins" in (tmp_path / "ann").read_text(), 20, "begun")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert stack.task(task_id)["status"] == "completed"
    assert stack.call("GET", "/v1/agents/ann").status_code == 404


def test_those_who_wait_give_their_places_back_also_when_they_are_gone(stack: Stack) -> None:
    stack.post("/v1/agents", {"id": "ann", "capabilities": ["word_count"]})
    path, host = "/v1/agents/ann/lease", stack.base.removeprefix("http://")
    for _ in range(stack.settings.api_threads + 1):
        assert stack.post(path, {"wait": 0.01}) == {"leases": [], "retry_after_seconds": 0}
    body = b'{"wait": 60}'
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {API_KEY}\r\nContent-Type: application/json\r\n"
    for _ in range(stack.settings.api_threads + 1):
        with socket.create_connection(("127.0.0.1", stack.settings.port)) as connection:
            connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert connection.recv(100)
    eventually(lambda: stack.post(path, {"wait": 0.01})["retry_after_seconds"] == 0, 20, "a place is free")
    task_id = stack.submit(slow(0))["id"]
    [lease] = stack.post(path, {"wait": 20})["leases"]
    assert (lease["task_id"], lease["attempt"]) == (task_id, 1)
    stack.post(f"/v1/leases/{lease['id']}/complete", {"result": {}})
    assert stack.call("DELETE", "/v1/agents/ann").status_code == 204


def test_leases_over_http_at_the_same_time_are_never_doubled(stack: Stack) -> None:
    ids = set(stack.submit_batch([slow(0)] * 40))
    names = [f"agent-{number}" for number in range(4)]
    for name in names:
        stack.post("/v1/agents", {"id": name, "capabilities": ["word_count"], "max_concurrent": 3})
    done: list[str] = []

    def work(name: str) -> None:
        while leases := stack.post(f"/v1/agents/{name}/lease", {"max": 2, "wait": 1})["leases"]:
            for lease in leases:
                stack.post(f"/v1/leases/{lease['id']}/complete", {"result": lease["attempt"]})
                done.append(lease["task_id"])

    threads = [threading.Thread(target=work, args=(name,)) for name in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(ids)
    rows = stack.sql("SELECT result #>> '{}' AS result FROM tasks WHERE id = ANY(%s::uuid[])", list(ids))
    assert {row["result"] for row in rows} == {"1"}
    for name in names:
        assert stack.call("DELETE", f"/v1/agents/{name}").status_code == 204
