"""Runs: start, look at, wait for, steer, repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from taskengine.client.errors import RunTimeout
from taskengine.client.models import Task, Time
from taskengine.client.run_models import RUN_FINAL, Graph, Run, RunEvent, RunSpec, RunSummary, Span
from taskengine.client.tasks import as_text, segment
from taskengine.client.transport import Transport
from taskengine.client.waiting import until_final


class Runs:
    """The verbs of ``/v1/runs``. Ids are text or UUID; errors are ApiError and Unreachable throughout."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def create(self, spec: RunSpec, *, idempotency_key: str | None = None) -> Run:
        """Start a run; it is stored when this returns.

        Invalid names each fault of a definition; with its line, if that was sent as text.
        """
        return cast("Run", self._http.call("POST", "/v1/runs", body=spec, idempotency_key=idempotency_key))

    def get(self, run_id: str | UUID, *, wait_seconds: float = 0) -> Run:
        """The run as it stands, or as soon as it has ended, at most ``wait_seconds`` (up to 60) later."""
        params = {"wait": f"{wait_seconds:g}"} if wait_seconds else None
        return cast("Run", self._http.call("GET", _path(run_id), params=params, wait_seconds=wait_seconds))

    def wait(self, run_id: str | UUID, timeout: float | None = None) -> Run:
        """The run once it has ended. RunTimeout after ``timeout`` seconds; None waits for ever."""
        return until_final(lambda seconds: self.get(run_id, wait_seconds=seconds), RUN_FINAL, timeout, RunTimeout)

    def list(
        self,
        *,
        status: str | Sequence[str] | None = None,
        workflow: str | None = None,
        created_after: Time | None = None,
        created_before: Time | None = None,
        limit: int | None = None,
    ) -> Iterator[RunSummary]:
        """Runs that match all filters, newest first, fetched page by page as they are consumed."""
        filters = {
            "status": status,
            "workflow": workflow,
            "created_after": as_text(created_after),
            "created_before": as_text(created_before),
        }
        return self._http.pages("/v1/runs", filters, limit)

    def tasks(
        self,
        run_id: str | UUID,
        *,
        status: str | Sequence[str] | None = None,
        type: str | None = None,
        kind: str | Sequence[str] | None = None,
        parent_id: str | UUID | None = None,
        limit: int | None = None,
    ) -> Iterator[Task]:
        """The run's tasks that match all filters, newest first. Without ``kind``: tasks and expansions."""
        filters = {"status": status, "type": type, "kind": kind, "parent_id": parent_id}
        return self._http.pages(f"{_path(run_id)}/tasks", filters, limit)

    def graph(self, run_id: str | UUID) -> Graph:
        """What the run consists of, and what waits for what."""
        return cast("Graph", self._http.call("GET", f"{_path(run_id)}/graph"))

    def mermaid(self, run_id: str | UUID) -> str:
        """The graph as text that Mermaid draws."""
        return self._http.text(f"{_path(run_id)}/graph", {"format": "mermaid"})

    def timeline(self, run_id: str | UUID, *, limit: int | None = None) -> Iterator[Span]:
        """When each step and task began and ended, with its attempts."""
        return self._http.pages(f"{_path(run_id)}/timeline", {}, limit)

    def events(self, run_id: str | UUID, *, limit: int | None = None) -> Iterator[RunEvent]:
        """Every move of the run and of its tasks, oldest first."""
        return self._http.pages(f"{_path(run_id)}/events", {}, limit)

    def pause(self, run_id: str | UUID) -> Run:
        """Start nothing more of the run; what runs goes on to its end."""
        return self._act(run_id, "pause")

    def resume(self, run_id: str | UUID) -> Run:
        """Let a paused run go on."""
        return self._act(run_id, "resume")

    def cancel(self, run_id: str | UUID, reason: str | None = None) -> Run:
        """Cancel the run with all its tasks; those that run are stopped within seconds."""
        return self._act(run_id, "cancel", {"reason": reason} if reason else None)

    def retry(
        self,
        run_id: str | UUID,
        *,
        start: str | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> Run:
        """Go on from what failed, or again from the step with the key ``start``, keeping what succeeded.

        ``overrides`` replaces configs by key before they run again; ``outputs`` gives results in place of running.
        """
        body = {"from": start, "overrides": overrides, "outputs": outputs}
        return self._act(run_id, "retry", {name: value for name, value in body.items() if value})

    def signal(
        self,
        run_id: str | UUID,
        name: str | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Run:
        """Wake a wait by the ``name`` of its signal, set fields of the run's ``context``, or both."""
        body = {"signal": name, "data": data, "context": context}
        return self._act(run_id, "signal", {field: value for field, value in body.items() if value})

    def _act(self, run_id: str | UUID, verb: str, body: dict[str, Any] | None = None) -> Run:
        return cast("Run", self._http.call("POST", f"{_path(run_id)}/{verb}", body=body))


def _path(run_id: str | UUID) -> str:
    return f"/v1/runs/{segment(run_id)}"
