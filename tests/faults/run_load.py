"""Runs under way while something breaks, and the proof afterwards that each ended as it would have anyway."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import requests

from tests.faults.load import Load
from tests.faults.workflows import INNER, KINDS, LARGE, Workflow
from tests.stack import API_KEY, Stack, eventually

_SIGNAL = {"signal": "go", "data": {"number": 7}, "context": {"ready": True}}
TABLES = "runs, tasks, task_dependencies, executions, events, outbox, dead_letters"


class RunLoad(Load):
    """What was accepted of a stack's runs: by id, the workflow that each is of."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.runs: dict[UUID, Workflow] = {}
        self._silent: list[UUID] = []
        self._insist("PUT", "/v1/workflows/inner", INNER["definition"])

    def start(self, each: int = 3) -> None:
        """Start runs of every kind, and a large one; some of those that wait for a signal have it at once."""
        self.start_one(LARGE)
        for _ in range(each):
            for workflow in KINDS:
                self.start_one(workflow)

    def start_one(self, workflow: Workflow) -> UUID:
        """Start a run; its id, once the API has accepted it."""
        run_id = UUID(self._insist("POST", "/v1/runs", workflow.body)["id"])
        waits = workflow.name == "waits"
        with self._lock:
            self.runs[run_id] = workflow
            self._silent += [run_id] if waits else []
            early = waits and len(self._silent) % 3 == 0
        if early:
            self.release()
        return run_id

    def release(self) -> None:
        """Send the signal to all runs that have not got it yet."""
        with self._lock:
            silent, self._silent = self._silent, []
        for run_id in silent:
            self._insist("POST", f"/v1/runs/{run_id}/signal", _SIGNAL)

    def _insist(self, method: str, path: str, body: Any, seconds: float = 60) -> Any:
        """Ask until the answer is a success; whatever else than an outage is a fault."""
        headers = {"Idempotency-Key": uuid4().hex, "Authorization": f"Bearer {API_KEY}"}
        deadline, pause = time.monotonic() + seconds, threading.Event()
        last: object = None
        while time.monotonic() < deadline:
            try:
                answer = requests.request(method, self.stack.base + path, json=body, headers=headers, timeout=20)
            except requests.RequestException as error:
                last = error
            else:
                if answer.status_code in {200, 201}:
                    return answer.json()
                assert answer.status_code == 503, answer.text
                last = answer.text
            pause.wait(0.1)
        raise AssertionError(f"{method} {path} not answered within {seconds:g} s: {last}")

    @contextmanager
    def more(self) -> Iterator[None]:
        """Meanwhile, start one run after the other."""
        done = threading.Event()
        faults: list[str] = []

        def client() -> None:
            while not done.wait(0.2):
                try:
                    self.start_one(KINDS[len(self.runs) % len(KINDS)])
                except AssertionError as error:
                    faults.append(str(error))
                    return

        thread = threading.Thread(target=client)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        assert faults == []

    def wait_until_busy(self, finished: int = 20) -> None:
        """Wait until work is being done, and runs of most kinds are open."""
        self.wait_for(finished)
        still = self.stack.sql("SELECT count(DISTINCT name) AS n FROM runs WHERE completed_at IS NULL")
        assert still[0]["n"] >= len(KINDS) // 2, still

    def settle(self, seconds: float = 60) -> float:
        """Send what runs wait for, wait until every run has ended, then prove the record; the seconds that it took."""
        began = time.monotonic()
        self.release()
        runs = "SELECT id, name, status FROM runs WHERE completed_at IS NULL"
        tasks = (
            "SELECT t.path, t.kind, t.status, t.attempt, t.waiting_on, t.gated, r.name, o.published_at, now() "
            "FROM tasks t LEFT JOIN runs r ON r.id = t.run_id LEFT JOIN outbox o ON o.task_id = t.id "
            "WHERE t.completed_at IS NULL LIMIT 10"
        )
        try:
            eventually(lambda: not self.stack.sql(runs), seconds, "every run has ended")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.stack.sql(runs)[:10]}, in them {self.stack.sql(tasks)}") from None
        assert self.stack.sql(tasks) == [], "open in runs that have ended"
        took = time.monotonic() - began
        self.prove()
        return took

    def prove(self) -> None:
        """Each run ended as it would have, each of its tasks is recorded once, nothing is left in line."""
        sql = self.stack.sql
        runs = {row["id"]: row for row in sql("SELECT id, name, status, error, parent_task_id FROM runs")}
        outer = {run_id for run_id, row in runs.items() if row["parent_task_id"] is None}
        assert outer == set(self.runs), "accepted, then lost; or started twice"
        rows: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        tasks = {row["id"]: row for row in sql("SELECT * FROM tasks")}
        for row in tasks.values():
            rows[row["run_id"]].append(row)
        for run_id, workflow in self.runs.items():
            self._prove_run(runs[run_id], rows[run_id], workflow)
        self._prove_sub_runs({run_id: row for run_id, row in runs.items() if run_id not in outer}, rows)
        ran = {task_id: row for task_id, row in tasks.items() if row["kind"] == "task"}
        self.prove_attempts({task_id: row for task_id, row in ran.items() if row["status"] == "completed"})
        self._prove_failures(ran)
        self.prove_histories(tasks)
        self._prove_events(runs, tasks)
        self._prove_order()
        assert sql("SELECT * FROM outbox") == []
        dead = Counter(row["task_id"] for row in sql("SELECT task_id FROM dead_letters"))
        assert dead == {task_id: 1 for task_id, row in tasks.items() if row["status"] == "failed"}

    def _prove_run(self, run: dict[str, Any], rows: list[dict[str, Any]], workflow: Workflow) -> None:
        assert run["status"] == workflow.status, run
        assert Counter((row["kind"], row["status"]) for row in rows) == workflow.rows, run
        by_key = {row["key"]: row for row in rows if row["key"] in {*workflow.gives, *workflow.children}}
        assert {key: by_key[key]["result"] for key in workflow.gives} == workflow.gives, run
        for key, number in workflow.children.items():
            made = sorted(row["sequence_num"] for row in rows if row["parent_id"] == by_key[key]["id"])
            assert made == list(range(number)), run

    def _prove_sub_runs(self, inner: dict[UUID, dict[str, Any]], rows: dict[UUID, list[dict[str, Any]]]) -> None:
        assert len(inner) == 2 * sum(workflow.name == "sub_runs" for workflow in self.runs.values())
        assert len({row["parent_task_id"] for row in inner.values()}) == len(inner)
        assert {row["status"] for row in inner.values()} <= {"completed"}
        assert all([row["status"] for row in rows[run_id]] == ["completed"] for run_id in inner)

    def _prove_failures(self, ran: dict[UUID, dict[str, Any]]) -> None:
        """What failed was tried twice, what was skipped never."""
        tries: dict[UUID, Counter[str]] = defaultdict(Counter)
        for row in self.stack.sql("SELECT task_id, status FROM executions"):
            tries[row["task_id"]][row["status"]] += 1
        for task_id, row in ran.items():
            if row["status"] == "failed":
                assert tries[task_id]["failed"] == 2 and tries[task_id].keys() <= {"failed", "lost"}, row
            elif row["status"] == "skipped":
                assert task_id not in tries, row

    def _prove_events(self, runs: dict[UUID, dict[str, Any]], tasks: dict[UUID, dict[str, Any]]) -> None:
        ends = "SELECT run_id, task_id, type FROM events WHERE type IN ('run.completed', 'run.failed')"
        assert Counter((row["run_id"], row["type"]) for row in self.stack.sql(ends)) == {
            (run_id, f"run.{row['status']}"): 1 for run_id, row in runs.items()
        }
        completed = "SELECT task_id, count(*) AS n FROM events WHERE to_status = 'completed' AND task_id IS NOT NULL "
        assert {row["task_id"]: row["n"] for row in self.stack.sql(completed + "GROUP BY task_id")} == {
            task_id: 1 for task_id, row in tasks.items() if row["status"] == "completed"
        }

    def _prove_order(self) -> None:
        early = self.stack.sql(
            "SELECT t.path, u.path AS before FROM task_dependencies d JOIN tasks t ON t.id = d.task_id "
            "JOIN tasks u ON u.id = d.depends_on_id WHERE t.started_at < u.completed_at"
        )
        assert early == []
