"""Answers in the shapes of the HTTP contract."""

from __future__ import annotations

from typing import Any

from tests.integration.client.scripted import Answer, ScriptedApi

ID = "019838a0-0000-7000-8000-000000000001"
OTHER_ID = "019838a0-0000-7000-8000-000000000002"

AGENT = {
    "id": "reviewer-1",
    "type": "reviewer",
    "capabilities": ["code_review", "testing"],
    "max_concurrent": 2,
    "created_at": "2030-01-01T00:00:00Z",
    "updated_at": "2030-01-01T00:00:00Z",
    "seen_at": "2030-01-01T00:00:00Z",
    "alive": True,
    "open_leases": 1,
    "heartbeat_seconds": 10,
}


def task(status: str = "queued", task_id: str = ID, **fields: Any) -> dict[str, Any]:
    return {
        "id": task_id,
        "name": "echo",
        "type": "echo",
        "queue": "integration",
        "priority": "normal",
        "status": status,
        "config": {"message": "hello"},
        "attempt": 1,
        "error_count": 0,
        "last_error": None,
        "result": {"message": "hello"} if status == "completed" else None,
        "tags": [],
        "metadata": {},
        "created_at": "2026-11-21T10:00:00.123456+00:00",
        "queued_at": "2026-11-21T10:00:00.123456+00:00",
        "started_at": None,
        "completed_at": None,
        **fields,
    }


FAILED: dict[str, Any] = {
    "last_error": {"code": "echo_failed", "message": "told to fail", "details": {}},
    "error_count": 4,
}
EXECUTION = {
    "id": "e1",
    "task_id": ID,
    "attempt": 1,
    "status": "failed",
    "queue": "integration",
    "worker": "integration@host",
    "started_at": "2026-11-21T10:00:00+00:00",
    "ended_at": "2026-11-21T10:00:01+00:00",
    "error": {"code": "echo_failed", "message": "told to fail", "details": {}},
    "progress": None,
}
LINE = {
    "sequence": 1,
    "at": "2026-11-21T10:00:00+00:00",
    "level": "info",
    "message": "line 1\x1b[2J",
    "fields": {"n": 1},
}
QUEUE = {
    "name": "integration",
    "depth": 3,
    "running": 1,
    "oldest_age_seconds": 1.5,
    "workers": 1,
    "slots": 2,
    "paused": False,
    "draining": False,
    "in_flight": 1,
    "finished_per_minute": 60.0,
}
LETTER = {
    "id": "d1",
    "task_id": ID,
    "type": "echo",
    "queue": "integration",
    "code": "echo_failed",
    "error": {"code": "echo_failed", "message": "told to fail", "details": {}},
    "attempts": 4,
    "created_at": "2026-11-21T10:00:00+00:00",
}
KEY = {"id": "k1", "name": "ci", "prefix": "te_abc", "scopes": ["read"], "created_at": "2026-11-21T10:00:00+00:00"}
SECRET = {"name": "crm_token", "created_at": "2026-11-21T10:00:00+00:00", "updated_at": "2026-11-21T10:00:00+00:00"}
TYPE = {
    "type": "echo",
    "queue": "integration",
    "description": "Returns its input.",
    "config_schema": {"type": "object"},
    "output_schema": {"type": "object"},
}
EXPLANATION = {
    "task_id": ID,
    "status": "queued",
    "summary": "no worker is alive on queue integration",
    "blockers": [{"kind": "no_worker", "message": "queue integration has no live worker"}],
    "position": 3,
    "expected_start": None,
}
RUN_ID = "019838a0-0000-7000-8000-00000000000a"
NODES = [
    {
        "id": ID,
        "key": "tests",
        "path": "tests",
        "name": "tests",
        "kind": "parallel",
        "type": "parallel",
        "status": "completed",
        "parent": None,
        "attempt": 0,
        "started_at": None,
        "completed_at": None,
        "children": None,
    },
    {
        "id": OTHER_ID,
        "key": "unit",
        "path": "tests.unit",
        "name": "unit",
        "kind": "expansion",
        "type": "echo",
        "status": "completed",
        "parent": ID,
        "attempt": 0,
        "started_at": "2026-11-21T10:00:00Z",
        "completed_at": "2026-11-21T10:00:01.500Z",
        "children": {"total": 2, "completed": 2},
    },
]
GRAPH = {
    "run_id": RUN_ID,
    "status": "completed",
    "nodes": NODES,
    "edges": [{"from": ID, "to": OTHER_ID, "run_on": "success"}],
}
SPAN = {
    "task_id": OTHER_ID,
    "key": "unit",
    "path": "tests.unit",
    "name": "unit",
    "kind": "expansion",
    "status": "completed",
    "parent": ID,
    "started_at": "2026-11-21T10:00:00+00:00",
    "ended_at": "2026-11-21T10:00:01.500000+00:00",
    "attempts": [
        {
            "attempt": 1,
            "status": "succeeded",
            "started_at": "2026-11-21T10:00:00+00:00",
            "ended_at": "2026-11-21T10:00:01.500000+00:00",
            "worker": "integration@host",
        }
    ],
}
RUN_EVENT = {
    "id": 1,
    "run_id": RUN_ID,
    "task_id": None,
    "type": "run.started",
    "from_status": "pending",
    "to_status": "running",
    "attempt": 0,
    "data": None,
    "created_at": "2026-11-21T10:00:00+00:00",
}
WORKFLOW = {
    "name": "hello",
    "version": 2,
    "description": "Says hello.",
    "created_by": "ci",
    "created_at": "2026-11-21T10:00:00+00:00",
}
PLAN = {
    "order": ["a", "b", "c"],
    "layers": [["a"], ["b", "c"]],
    "critical_path": ["a", "c"],
    "expected_seconds": 2.5,
    "steps": 3,
}


def run(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {
        "id": RUN_ID,
        "name": "hello",
        "workflow": None,
        "version": None,
        "status": status,
        "variables": {},
        "context": {"customer": 42},
        "progress": {"total": 2, "completed": 2},
        "results": {"unit": [1, 2]} if status == "completed" else {},
        "partial_results": None if status == "completed" else {},
        "groups": [],
        "error": None,
        "timeout_seconds": None,
        "parent_task_id": None,
        "cancel_reason": None,
        "created_by": "ci",
        "created_at": "2026-11-21T10:00:00+00:00",
        "started_at": "2026-11-21T10:00:00+00:00",
        "updated_at": "2026-11-21T10:00:02+00:00",
        "completed_at": None,
        **fields,
    }


def page(*items: Any) -> Answer:
    return Answer(200, {"items": list(items), "next_cursor": None})


def lay_out_everything(api: ScriptedApi) -> None:
    """Every route that the command line uses, with an answer that fits."""
    api.on("POST", "/v1/tasks", Answer(201, task()))
    api.on("POST", "/v1/tasks/batch", Answer(201, {"ids": [ID, OTHER_ID]}))
    for task_id in (ID, OTHER_ID):
        api.on("GET", f"/v1/tasks/{task_id}", Answer(200, task("completed", task_id)))
    for verb in ("cancel", "retry", "pause", "resume", "execute", "approve", "reject"):
        api.on("POST", f"/v1/tasks/{ID}/{verb}", Answer(200, task()))
    api.on("GET", f"/v1/tasks/{ID}/explain", Answer(200, EXPLANATION))
    api.on("GET", f"/v1/tasks/{ID}/executions", page(EXECUTION))
    api.on("GET", "/v1/executions/e1/logs", page(LINE))
    api.on("GET", "/v1/tasks", page(task(), task("failed", OTHER_ID, **FAILED)))
    api.on("GET", "/v1/queues", page(QUEUE))
    for queue in ("integration", "reporting"):
        for verb in ("pause", "resume", "drain"):
            api.on("POST", f"/v1/queues/{queue}/{verb}", Answer(200, QUEUE))
    api.on("GET", "/v1/dead-letters", page(LETTER))
    api.on("POST", "/v1/dead-letters/redrive", Answer(200, {"redriven": 2}))
    api.on("GET", "/v1/api-keys", page(KEY))
    api.on("POST", "/v1/api-keys", Answer(201, {**KEY, "key": "te_new"}))
    api.on("DELETE", "/v1/api-keys/k1", Answer(204))
    api.on("GET", "/v1/secrets", page(SECRET))
    api.on("PUT", "/v1/secrets/crm_token", Answer(200, SECRET))
    api.on("DELETE", "/v1/secrets/crm_token", Answer(204))
    api.on("GET", "/v1/task-types", page(TYPE))
    api.on("GET", "/v1/agents", page(AGENT))
    api.on("DELETE", "/v1/agents/reviewer-1", Answer(204))
    lay_out_runs(api)


def lay_out_runs(api: ScriptedApi) -> None:
    """The routes of runs and workflows."""
    api.on("POST", "/v1/runs", Answer(201, run("running")))
    api.on("GET", "/v1/runs", page(run(), run("failed")))
    api.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, run()))
    api.on("GET", f"/v1/runs/{RUN_ID}/graph", Answer(200, GRAPH))
    api.on("GET", f"/v1/runs/{RUN_ID}/timeline", page(SPAN))
    api.on("GET", f"/v1/runs/{RUN_ID}/events", page(RUN_EVENT))
    api.on("GET", f"/v1/runs/{RUN_ID}/tasks", page(task("completed", kind="task")))
    for verb in ("pause", "resume", "cancel", "retry", "signal"):
        api.on("POST", f"/v1/runs/{RUN_ID}/{verb}", Answer(200, run("running")))
    api.on("PUT", "/v1/workflows/hello", Answer(201, WORKFLOW | {"definition": {"name": "hello"}}))
    api.on("GET", "/v1/workflows", page(WORKFLOW))
    api.on("GET", "/v1/workflows/hello", Answer(200, b"name: hello  # kept\n"))
    api.on("GET", "/v1/workflows/hello/versions", page(WORKFLOW, WORKFLOW | {"version": 1}))
    api.on("POST", "/v1/workflows/validate", Answer(200, {"valid": True, "errors": []}))
    api.on("POST", "/v1/workflows/plan", Answer(200, PLAN))
    api.on("GET", "/v1/workflows/schema", Answer(200, {"title": "Workflow"}))
