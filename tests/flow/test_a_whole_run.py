"""One run with everything in it, from its start to its second end, as its owner sees it: by HTTP and at the prompt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from config.settings import PREFIX
from tests.stack import API_KEY, Stack, eventually

CELLS = 50
LINE = ["rounds", "choose", "cells", "ask", "greeted", "shaky", "report", "tidy"]
"""Its outermost steps, in order."""
GREETING = {
    "name": "greeting",
    "variables": {"who": "nobody"},
    "steps": [
        {"id": "greet", "type": "task", "task": {"type": "echo", "config": {"message": "hello {{ variables.who }}"}}}
    ],
}
RELEASE = """
name: release
variables: {rounds: 3, who: Ada}
steps:
  - id: rounds
    type: loop
    condition: {field: loop.index, operator: less_than, value: 3}
    steps:
      - id: round
        type: task
        task: {type: echo, config: {message: "{{ loop.index }}"}}
  - id: choose
    type: conditional
    condition: {field: tasks.round.result.message, operator: equals, value: 2}
    then:
      - {id: taken, type: task, task: {type: echo, config: {message: enough rounds}}}
    else:
      - {id: not_taken, type: task, task: {type: echo, config: {message: too few rounds}}}
  - id: cells
    type: task
    task:
      type: echo
      config: {message: "{{ row }}{{ column }}", sleep_seconds: 0.1}
      expansion_config:
        type: matrix
        array_mapping: {row: [A, B, C, D, E], column: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}
  - id: ask
    type: wait
    approval: {approvers: [bootstrap], message: "release {{ tasks.cells.result | length }} cells?"}
  - id: greeted
    type: workflow
    workflow: greeting
    variables: {who: "{{ variables.who }}"}
  - id: shaky
    type: task
    task: {type: echo, max_retries: 0, config: {message: broken, fail_times: 100}}
  - id: report
    type: task
    task:
      type: echo
      config: {message: "{{ tasks.shaky.result.message }}: {{ tasks.greeted.result.results.greet.message }}"}
  - id: tidy
    type: task
    run_on: always
    task: {type: echo, config: {message: tidied up}}
"""


class Owner:
    """Somebody with the command line, and the run that they look after."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.run_id = ""

    def cli(self, *words: str) -> str:
        """Run a command; what it printed."""
        environment = {f"{PREFIX}URL": self.stack.base, f"{PREFIX}API_KEY": API_KEY, f"{PREFIX}HOME": str(self.folder)}
        command = [sys.executable, "-m", "taskengine", *words]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def runs(self, verb: str, *words: str) -> Any:
        """``taskengine runs VERB ID …``, as JSON."""
        return json.loads(self.cli("runs", verb, self.run_id, *words, "--json"))

    def get(self, part: str = "") -> Any:
        return self.stack.get(f"/v1/runs/{self.run_id}{part}")

    def until(self, status: str) -> dict[str, Any]:
        """The run once it has that status."""

        def look() -> dict[str, Any]:
            run: dict[str, Any] = self.get()
            return run if run["status"] == status else {}

        return eventually(look, 30, f"the run is {status}")

    def steps(self) -> dict[str, dict[str, Any]]:
        """The nodes of the graph, by path."""
        return {node["path"]: node for node in self.get("/graph")["nodes"]}

    def events(self) -> list[dict[str, Any]]:
        """The whole log."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.get(f"/events?limit=100{cursor}")
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


@pytest.fixture
def owner(stack: Stack, tmp_path: Path) -> Owner:
    """The run is started."""
    stack.call("PUT", "/v1/workflows/greeting", GREETING)
    made = Owner(stack, tmp_path)
    (tmp_path / "release.yaml").write_text(RELEASE)
    made.run_id = made.cli("run", str(tmp_path / "release.yaml"), "--var", "who=Grace", "--no-watch").strip()
    return made


def test_a_whole_run(owner: Owner, stack: Stack) -> None:
    _pause_and_resume(owner)
    _restart_while_it_waits(owner, stack)
    _fail(owner, stack)
    before = owner.steps()
    _repair(owner)
    _prove_graph(owner, before)
    _prove_timeline(owner)
    _prove_events(owner)


def _pause_and_resume(owner: Owner) -> None:
    def some_cells() -> bool:
        cells = owner.steps()["cells"]["children"]
        return bool(cells and cells.get("completed", 0) >= 5)

    eventually(some_cells, 30, "some cells are done")
    assert owner.runs("pause")["status"] == "paused"
    eventually(lambda: not owner.get("/tasks?status=running,queued&kind=task")["items"], 20, "what ran has ended")
    cells = owner.steps()["cells"]["children"]
    assert (cells["total"], cells["completed"] + cells["paused"]) == (CELLS, CELLS)
    assert cells["paused"] > 0
    assert owner.get()["status"] == "paused"
    assert owner.runs("resume")["status"] == "running"


def _restart_while_it_waits(owner: Owner, stack: Stack) -> None:
    owner.until("waiting")
    names = stack.names
    for name in names:
        stack.stop(name)
    stack.start(*names)
    stack.wait_ready()
    run = owner.runs("show")
    assert (run["status"], run["progress"]["waiting_input"]) == ("waiting", 1)
    assert [cell["result"]["message"] for cell in run["results"]["cells"]] == [
        f"{row}{n}" for row in "ABCDE" for n in range(10)
    ]
    [ask] = owner.get("/tasks?kind=wait&status=waiting_input")["items"]
    assert stack.call("POST", f"/v1/tasks/{ask['id']}/approve", {}, key=stack.other_key).status_code == 404
    assert stack.post(f"/v1/tasks/{ask['id']}/approve", {"notes": "go"})["status"] == "completed"


def _fail(owner: Owner, stack: Stack) -> None:
    run = owner.until("failed")
    assert run["error"]["code"] == "step_failed" and "shaky" in run["error"]["message"]
    assert run["partial_results"]["greeted"]["results"] == {"greet": {"message": "hello Grace"}}
    assert run["partial_results"]["ask"]["notes"] == "go"
    status = {path: node["status"] for path, node in owner.steps().items()}
    expected = {"shaky": "failed", "report": "skipped", "tidy": "completed", "greeted": "completed"}
    assert {path: status[path] for path in expected} == expected
    assert (status["choose.taken"], status["choose.not_taken"]) == ("completed", "skipped")
    [inner] = stack.get("/v1/runs?workflow=greeting")["items"]
    assert (inner["status"], inner["parent_task_id"]) == ("completed", owner.steps()["greeted"]["id"])


def _repair(owner: Owner) -> None:
    owner.runs("retry", "--override", 'shaky={"message": "mended"}')
    last = json.loads(owner.cli("runs", "watch", owner.run_id, "--timeout", "30", "--json").splitlines()[-1])
    assert (last["status"], last["error"], last["partial_results"]) == ("completed", None, None)
    assert last["results"]["report"] == {"message": "mended: hello Grace"}
    assert last["results"]["choose"]["branch"] == "then"
    assert last["results"]["rounds"]["iterations"] == 3


def _prove_graph(owner: Owner, before: dict[str, dict[str, Any]]) -> None:
    after = owner.steps()
    assert after.keys() == before.keys()
    changed = {path for path, node in after.items() if node != before[path]}
    assert changed == {"shaky", "report", "tidy"}, "what succeeded is kept"
    assert {path: node["status"] for path, node in after.items() if node["status"] != "completed"} == {
        "choose.not_taken": "skipped"
    }
    assert {path: node["kind"] for path, node in after.items() if node["kind"] != "task"} == {
        "rounds": "loop",
        **{f"rounds[{number}]": "sequential" for number in range(3)},
        "choose": "conditional",
        "cells": "expansion",
        "ask": "wait",
        "greeted": "workflow",
    }
    names = {node["id"]: path for path, node in after.items()}
    edges = owner.get("/graph")["edges"]
    assert [(names[edge["from"]], names[edge["to"]]) for edge in edges] == list(pairwise(LINE))
    drawn = owner.cli("runs", "graph", owner.run_id, "--mermaid")
    assert drawn.startswith("flowchart TD")
    assert drawn.strip() == owner.stack.call("GET", f"/v1/runs/{owner.run_id}/graph?format=mermaid").text.strip()
    assert all(path in drawn for path in LINE)


def _prove_timeline(owner: Owner) -> None:
    spans = owner.runs("timeline", "--limit", "1000")["items"]
    assert Counter(span["kind"] for span in spans if span["kind"] == "task")["task"] == CELLS + 8
    assert all(span["started_at"] <= span["ended_at"] for span in spans if span["status"] == "completed")
    attempts = {span["path"]: [attempt["status"] for attempt in span["attempts"]] for span in spans if span["key"]}
    assert (attempts["shaky"], attempts["report"]) == (["failed", "succeeded"], ["succeeded"])
    by_path = {span["path"]: span for span in spans if span["parent"] is None}
    for earlier, later in pairwise(LINE):
        assert by_path[earlier]["ended_at"] <= by_path[later]["started_at"]


def _prove_events(owner: Owner) -> None:
    events = owner.events()
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    own = [event["type"] for event in events if event["task_id"] is None]
    story = ["started", "paused", "resumed", "failed", "retried", "overridden", "completed"]
    assert sorted(own) == sorted(f"run.{word}" for word in story)
    assert own[:4] == [f"run.{word}" for word in story[:4]] and own[-1] == "run.completed"
    completed = Counter(event["task_id"] for event in events if event["type"] == "task.completed")
    again = {owner.steps()["tidy"]["id"]: 2}
    assert completed == dict.fromkeys(completed, 1) | again
    assert owner.cli("runs", "events", owner.run_id, "--limit", "1000").count("task.") > CELLS * 3
