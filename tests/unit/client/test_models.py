"""The client's shapes are those of the API."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from api.schemas import administration, deliveries, executions, operations, runs, tasks, workflows
from taskengine.client import administration as stored
from taskengine.client import models, people, run_models
from taskengine.domain import states
from taskengine.domain.task import TaskChanges, TaskSpec
from taskengine.domain.workflow import RunSpec

ANSWERS: list[tuple[Any, type[BaseModel]]] = [
    (models.Task, tasks.Task),
    (models.Event, tasks.Event),
    (models.Explanation, tasks.Explanation),
    (models.Blocker, tasks.Blocker),
    (models.Execution, executions.Execution),
    (models.LogLine, executions.LogLine),
    (models.Step, executions.Step),
    (models.Artifact, executions.Artifact),
    (models.Queue, operations.Queue),
    (models.DeadLetter, operations.DeadLetter),
    (models.TaskType, operations.TaskType),
    (models.Check, operations.Check),
    (models.Readiness, operations.Readiness),
    (people.Member, deliveries.Member),
    (people.Group, deliveries.Group),
    (people.Delivery, deliveries.Delivery),
    (stored.Secret, administration.Secret),
    (stored.ApiKey, administration.ApiKey),
    (stored.NewApiKey, administration.NewApiKey),
    (models.TaskSpec, TaskSpec),
    (run_models.RunSpec, RunSpec),
    (run_models.RunGroup, runs.RunGroup),
    (run_models.RunSummary, runs.RunSummary),
    (run_models.Run, runs.Run),
    (run_models.Node, runs.Node),
    (run_models.Graph, runs.Graph),
    (run_models.Span, runs.Span),
    (run_models.SpanAttempt, runs.SpanAttempt),
    (run_models.RunEvent, runs.RunEvent),
    (run_models.WorkflowSummary, workflows.WorkflowSummary),
    (run_models.Workflow, workflows.Workflow),
    (run_models.Validation, workflows.Validation),
    (run_models.DefinitionFault, workflows.DefinitionFault),
    (run_models.Plan, workflows.Plan),
    (models.TaskChanges, TaskChanges),
]


@pytest.mark.parametrize(("shape", "schema"), ANSWERS)
def test_a_shape_has_the_fields_of_the_api(shape: Any, schema: type[BaseModel]) -> None:
    assert shape.__required_keys__ | shape.__optional_keys__ == set(schema.model_fields)


def test_the_final_statuses_are_those_of_the_engine() -> None:
    assert {status.value for status in states.FINAL} == models.FINAL
    assert {status.value for status in states.RUN_FINAL} == run_models.RUN_FINAL


def test_an_edge_has_the_fields_of_the_api() -> None:
    assert set(run_models.Edge.__annotations__) == {
        field.alias or name for name, field in runs.Edge.model_fields.items()
    }
