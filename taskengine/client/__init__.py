"""The Python client of the HTTP API. Stands apart from the engine: it needs ``requests`` and nothing else."""

from taskengine.client.builder import WorkflowBuilder
from taskengine.client.client import Client
from taskengine.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    RunTimeout,
    ServerError,
    Unauthenticated,
    Unreachable,
    WaitTimeout,
)
from taskengine.client.models import FINAL, Task, TaskChanges, TaskOptions, TaskSpec
from taskengine.client.run_models import RUN_FINAL, Run, RunSpec
from taskengine.client.steps import ConditionOperator, WorkflowCondition

__all__ = [
    "FINAL",
    "RUN_FINAL",
    "ApiError",
    "Client",
    "ClientError",
    "ConditionOperator",
    "Conflict",
    "FieldError",
    "Forbidden",
    "Invalid",
    "NotFound",
    "RateLimited",
    "Run",
    "RunSpec",
    "RunTimeout",
    "ServerError",
    "Task",
    "TaskChanges",
    "TaskOptions",
    "TaskSpec",
    "Unauthenticated",
    "Unreachable",
    "WaitTimeout",
    "WorkflowBuilder",
    "WorkflowCondition",
]
