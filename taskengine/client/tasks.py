"""Tasks: submit, look at, wait for, steer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from taskengine.client.errors import WaitTimeout
from taskengine.client.models import (
    FINAL,
    Artifact,
    Event,
    Execution,
    Explanation,
    Task,
    TaskChanges,
    TaskSpec,
    Time,
)
from taskengine.client.transport import Transport
from taskengine.client.waiting import until_final


def segment(value: str | UUID) -> str:
    """An id or a name as one part of a path."""
    return quote(str(value), safe="")


class Tasks:
    """The verbs of ``/v1/tasks``. Ids are text or UUID; errors are ApiError and Unreachable throughout."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def create(self, spec: TaskSpec, *, idempotency_key: str | None = None) -> Task:
        """Create one task; it is stored when this returns.

        ``idempotency_key`` makes the call safe to repeat across processes; within this call the client makes its own.
        """
        return cast("Task", self._http.call("POST", "/v1/tasks", body=spec, idempotency_key=idempotency_key))

    def create_batch(self, specs: Sequence[TaskSpec], *, idempotency_key: str | None = None) -> list[str]:
        """Create up to 10,000 tasks, all or none, and return their ids in order.

        ``depends_on`` may name the ``key`` of another task in the batch.
        """
        answer = self._http.call(
            "POST", "/v1/tasks/batch", body={"tasks": list(specs)}, idempotency_key=idempotency_key
        )
        return cast("list[str]", answer["ids"])

    def get(self, task_id: str | UUID, *, wait_seconds: float = 0) -> Task:
        """The task as it stands, or as soon as it is final, at most ``wait_seconds`` (up to 60) later."""
        params = {"wait": f"{wait_seconds:g}"} if wait_seconds else None
        return cast("Task", self._http.call("GET", _path(task_id), params=params, wait_seconds=wait_seconds))

    def wait(self, task_id: str | UUID, timeout: float | None = None) -> Task:
        """The task once it is final. WaitTimeout after ``timeout`` seconds; None waits for ever."""
        return until_final(lambda seconds: self.get(task_id, wait_seconds=seconds), FINAL, timeout, WaitTimeout)

    def list(
        self,
        *,
        status: str | Sequence[str] | None = None,
        type: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        assigned_to: str | None = None,
        priority: str | None = None,
        run_id: str | UUID | None = None,
        parent_id: str | UUID | None = None,
        kind: str | Sequence[str] | None = None,
        created_after: Time | None = None,
        created_before: Time | None = None,
        q: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Task]:
        """Tasks that match all filters, newest first, fetched page by page as they are consumed.

        Of several statuses, any counts; ``parent_id`` names an expansion; without ``kind``, tasks and expansions are
        listed; ``q`` searches names and descriptions; ``limit`` bounds the whole, None goes on to the last.
        """
        filters = {
            "status": status,
            "type": type,
            "queue": queue,
            "tag": tag,
            "assigned_to": assigned_to,
            "priority": priority,
            "run_id": run_id,
            "parent_id": parent_id,
            "kind": kind,
            "created_after": as_text(created_after),
            "created_before": as_text(created_before),
            "q": q,
        }
        return self._http.pages("/v1/tasks", filters, limit)

    def update(self, task_id: str | UUID, changes: TaskChanges) -> Task:
        """Change a task that has not started; Conflict when it has."""
        return cast("Task", self._http.call("PATCH", _path(task_id), body=changes))

    def delete(self, task_id: str | UUID) -> None:
        """Delete a task that is final or has not started, with its history."""
        self._http.call("DELETE", _path(task_id))

    def execute(self, task_id: str | UUID) -> Task:
        """Trigger a manual or waiting task now."""
        return self._act(task_id, "execute")

    def cancel(self, task_id: str | UUID, reason: str | None = None) -> Task:
        """Cancel: at once when it has not started, within seconds when it runs."""
        return self._act(task_id, "cancel", {"reason": reason} if reason else None)

    def retry(self, task_id: str | UUID) -> Task:
        """Give a failed or cancelled task another try."""
        return self._act(task_id, "retry")

    def pause(self, task_id: str | UUID) -> Task:
        """Hold a task back that has not started."""
        return self._act(task_id, "pause")

    def resume(self, task_id: str | UUID) -> Task:
        """Let a paused task go on."""
        return self._act(task_id, "resume")

    def approve(self, task_id: str | UUID, notes: str | None = None) -> Task:
        """Release a task that waits for human review, or approve what a run's approval step asks."""
        return self._act(task_id, "approve", {"notes": notes} if notes else None)

    def reject(self, task_id: str | UUID, reason: str | None = None) -> Task:
        """Refuse a task that waits for human review, which is cancelled, or an approval step, which fails."""
        return self._act(task_id, "reject", {"reason": reason} if reason else None)

    def explain(self, task_id: str | UUID) -> Explanation:
        """Why the task is not running."""
        return cast("Explanation", self._http.call("GET", f"{_path(task_id)}/explain"))

    def executions(self, task_id: str | UUID, *, limit: int | None = None) -> Iterator[Execution]:
        """The attempts."""
        return self._http.pages(f"{_path(task_id)}/executions", {}, limit)

    def events(self, task_id: str | UUID, *, limit: int | None = None) -> Iterator[Event]:
        """The audit trail."""
        return self._http.pages(f"{_path(task_id)}/events", {}, limit)

    def artifacts(self, task_id: str | UUID, *, limit: int | None = None) -> Iterator[Artifact]:
        """The files that its attempts stored."""
        return self._http.pages(f"{_path(task_id)}/artifacts", {}, limit)

    def _act(self, task_id: str | UUID, verb: str, body: dict[str, Any] | None = None) -> Task:
        return cast("Task", self._http.call("POST", f"{_path(task_id)}/{verb}", body=body))


def _path(task_id: str | UUID) -> str:
    return f"/v1/tasks/{segment(task_id)}"


def as_text(value: Time | None) -> str | None:
    """A time as a query parameter."""
    return value.isoformat() if isinstance(value, datetime) else value
