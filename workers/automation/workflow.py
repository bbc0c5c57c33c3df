"""workflow: a task that is a run: it starts one, and ends as that ends."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any
from uuid import UUID

from pydantic import Field, JsonValue

from taskengine.domain.errors import PermanentError
from taskengine.domain.outcome import Outcome, Parked, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput, RunState


class WorkflowConfig(HandlerConfig):
    """What to run."""

    workflow: str = Field(min_length=1, max_length=300, description="Name of a registered workflow.")
    version: int | None = Field(None, ge=1, description="Of `workflow`; absent: the newest.")
    variables: dict[str, JsonValue] = Field({}, description="Values of the workflow's variables.")
    context: dict[str, JsonValue] = Field({}, description="What the run's shared context begins with.")
    wait: bool = Field(True, description="End when the run ends, with its results; false: as soon as it has started.")


class WorkflowOutput(HandlerOutput):
    """The run, and what it gave."""

    run_id: UUID = Field(description="The run; GET /v1/runs/{id} shows it.")
    status: str = Field(description="Where the run stood when the task ended.")
    results: JsonValue = Field(description="Results of its steps by key; of a run that is not waited for, none yet.")


class Workflow(Handler[WorkflowConfig]):
    """Starts a run of a workflow as the task's own."""

    type_name = "workflow"
    queue = "automation"
    description = (
        "Starts a run of a workflow, waits for its end without holding a worker, and gives what it gave. The task's "
        "`timeout_seconds` bounds the run."
    )
    Config = WorkflowConfig
    Output = WorkflowOutput
    example = MappingProxyType({"workflow": "nightly_import", "variables": {"country": "DE"}})

    def run(self, ctx: Context, config: WorkflowConfig) -> Outcome:
        """Begin the run, or take what it gave; PermanentError ``sub_run_failed`` when it did not complete."""
        run = ctx.begin_run(config.model_dump(exclude={"wait"}))
        if not config.wait:
            return Succeeded(WorkflowOutput(run_id=run.id, status=run.status, results={}))
        if not run.final:
            return Parked(f"waits for run {run.id}")
        if run.status != "completed":
            raise PermanentError("sub_run_failed", f"run {run.id} ended {run.status}{_why(run)}", _details(run))
        return Succeeded(WorkflowOutput(run_id=run.id, status=run.status, results=run.results))


def _why(run: RunState) -> str:
    return f": {run.error['message']}" if run.error else ""


def _details(run: RunState) -> dict[str, Any]:
    return {"run_id": str(run.id), "status": run.status, "error": run.error}
