"""Workflows on this engine, through its HTTP API as any client sends them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import psutil

from benchmarks.contender import BenchmarkError, check_results, payload, until
from benchmarks.engine_side import POLL_SECONDS, EngineSide, spec
from benchmarks.fibonacci import known
from benchmarks.http_client import post_all
from benchmarks.processes import ROOT
from benchmarks.servers import Servers
from benchmarks.workflows import DIAMOND

RUN_SECONDS = 600
REQUEST_SECONDS = 30
"""How long one request waits for the end; then another one does."""
FINAL = ("completed", "failed", "cancelled", "skipped")


class EngineRuns(EngineSide):
    """The same processes as for single tasks, which know one type more: fibonacci."""

    def __init__(self, servers: Servers) -> None:
        plugin = os.pathsep.join([str(ROOT / "benchmarks" / "plugin"), str(ROOT)])
        super().__init__(servers, {"PYTHONPATH": plugin})

    def reset(self) -> None:
        """Empty the record of tasks and runs."""
        super().reset()
        self._record.execute("TRUNCATE runs CASCADE")

    def fan_outs(self) -> Mapping[str, Callable[[int], None]]:
        """One task with an expansion, and two groups of tasks."""
        return {"expansion, merged": self._run_expansion, "task groups": self._run_groups}

    def _run_expansion(self, count: int) -> None:
        result = self._expanded(count, {"found": ["{{ item }}"]}, "merge")
        check_results(self.name, result["merged"]["message"]["found"], count)

    def _run_groups(self, count: int) -> None:
        tasks = [spec(number) for number in range(count)]
        run = self._run({"task_groups": [_group("many", tasks), _group("join", [spec(count)], ["many"])]})
        self._check_record(run["id"], count + 1)

    def run_chain(self, length: int, number: int) -> str:
        """An inline definition of steps in order."""
        task = {"type": "fibonacci", "config": {"number": number}}
        steps = [{"id": f"step_{place}", "type": "task", "task": task} for place in range(length)]
        run = self._run({"definition": {"name": "chain", "steps": steps}})
        values = [result["value"] for result in run["results"].values()]
        if values != [known(number)] * length:
            raise BenchmarkError(f"{self.name}: {length} steps of fibonacci({number}) returned {values}")
        return "POST /v1/runs, GET ?wait"

    def diamonds(self) -> Mapping[str, Callable[[int], None]]:
        """Each run in a request of its own."""
        return {
            "POST /v1/runs, 1 client": partial(self._run_diamonds, 1),
            "POST /v1/runs, 4 clients": partial(self._run_diamonds, 4),
        }

    def _run_diamonds(self, clients: int, count: int) -> None:
        body = {"definition": diamond()}
        post_all(self._client.port, "/v1/runs", lambda _: body, clients, count, self._headers, 201)
        until(lambda: self._ended_runs() >= count, f"{count} runs ended", RUN_SECONDS, POLL_SECONDS)
        rows = self._record.execute(
            "SELECT run_id, count(*) FROM tasks WHERE type = 'echo' AND status = 'completed' GROUP BY run_id"
        ).fetchall()
        if sorted(number for _, number in rows) != [len(DIAMOND)] * count:
            raise BenchmarkError(f"{self.name}: not every one of {count} runs completed its {len(DIAMOND)} tasks")

    def _ended_runs(self) -> int:
        self._processes.check()
        row = self._record.execute("SELECT count(*) FROM runs WHERE status = ANY(%s)", [list(FINAL)]).fetchone()
        return int(row[0]) if row else 0

    def expand(self, count: int) -> None:
        """An array of numbers, whose result is their sum."""
        result = self._expanded(count, "{{ item }}", "single")
        summary = result["summary"]
        if (summary["total"], summary["completed"]) != (count, count):
            raise BenchmarkError(f"{self.name}: an expansion into {count} ended with {summary}")

    def memory_roots(self) -> Mapping[str, int]:
        """The engine's processes, and Postgres with all its connections."""
        return {**self.roots(), "Postgres": psutil.Process(self._record.info.backend_pid).ppid()}

    def _expanded(self, count: int, message: object, output_format: str) -> Any:
        """The result of one task with ``count`` children."""
        body = {
            "name": "many",
            "type": "echo",
            "config": {"message": message},
            "input": {"numbers": list(range(count))},
            "expansion_config": {
                "type": "array",
                "array_mapping": {"item": "numbers"},
                "output_format": output_format,
            },
        }
        task = self._client.call("POST", f"/v1/tasks?wait={REQUEST_SECONDS}", body, 201)
        return self._ended(f"/v1/tasks/{task['id']}", task)["result"]

    def _run(self, body: object) -> Any:
        """The run as it is when it has completed."""
        run = self._client.call("POST", "/v1/runs", body, 201)
        return self._ended(f"/v1/runs/{run['id']}", run)

    def _ended(self, path: str, found: Any) -> Any:
        deadline = time.monotonic() + RUN_SECONDS
        while found["status"] not in FINAL:
            self._processes.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name}: {path} is {found['status']} after {RUN_SECONDS} s")
            found = self._client.call("GET", f"{path}?wait={REQUEST_SECONDS}", None, 200)
        if found["status"] != "completed":
            error = found.get("last_error") or found.get("error")
            raise BenchmarkError(f"{self.name}: {path} ended {found['status']}: {error}")
        return found

    def _check_record(self, run_id: str, count: int) -> None:
        rows = self._record.execute(
            "SELECT result FROM tasks WHERE run_id = %s AND type = 'echo' AND status = 'completed'", [run_id]
        ).fetchall()
        check_results(self.name, [result["message"] for (result,) in rows], count)


def diamond() -> dict[str, Any]:
    """The graph as a definition."""
    task = {"type": "echo", "config": {"message": payload(0)}}
    steps = [{"id": name, "type": "task", "depends_on": waits, "task": task} for name, waits in DIAMOND.items()]
    return {"name": "diamond", "steps": steps}


def _group(name: str, tasks: list[dict[str, object]], waits: list[str] | None = None) -> dict[str, object]:
    return {"id": name, "tasks": tasks, "depends_on": waits or []}
