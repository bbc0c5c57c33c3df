"""The client's shapes are those of the API."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from api.schemas import administration, executions, operations, tasks
from taskengine.client import models
from taskengine.domain import states
from taskengine.domain.task import TaskChanges, TaskSpec

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
    (models.Secret, administration.Secret),
    (models.ApiKey, administration.ApiKey),
    (models.NewApiKey, administration.NewApiKey),
    (models.TaskSpec, TaskSpec),
    (models.TaskChanges, TaskChanges),
]


@pytest.mark.parametrize(("shape", "schema"), ANSWERS)
def test_a_shape_has_the_fields_of_the_api(shape: Any, schema: type[BaseModel]) -> None:
    assert shape.__required_keys__ | shape.__optional_keys__ == set(schema.model_fields)


def test_the_final_statuses_are_those_of_the_engine() -> None:
    assert {status.value for status in states.FINAL} == models.FINAL
