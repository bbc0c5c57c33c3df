"""A workflow as its author describes it, the task groups of an ad-hoc run, and what a client asks of a run.

The models judge what one object alone shows; ``lifecycle.definitions`` judges the rest.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from taskengine.domain.steps import (
    MAX_ITERATIONS,
    MAX_STEPS,
    STEP_LISTS,
    STEP_TYPES,
    Approval,
    ConditionalStep,
    Identifier,
    LoopStep,
    OnFailure,
    ParallelStep,
    Reference,
    RunOn,
    SequentialStep,
    Step,
    StepBase,
    TaskStep,
    TaskTemplate,
    WaitStep,
    WorkflowName,
    WorkflowStep,
    lists_of,
    walk,
)
from taskengine.domain.task import TaskSpec
from taskengine.domain.wire import JsonObject, Name, Seconds, Text, Wire, check_json, no_nul

__all__ = [
    "MAX_DEPTH",
    "MAX_GROUPS",
    "MAX_ITERATIONS",
    "MAX_STEPS",
    "STEP_LISTS",
    "STEP_TYPES",
    "Approval",
    "ConditionalStep",
    "LoopStep",
    "OnFailure",
    "ParallelStep",
    "RetrySpec",
    "RunOn",
    "RunSpec",
    "SequentialStep",
    "SignalSpec",
    "Step",
    "StepBase",
    "TaskGroup",
    "TaskStep",
    "TaskTemplate",
    "WaitStep",
    "WorkflowSpec",
    "WorkflowStep",
    "lists_of",
    "walk",
]

MAX_DEPTH = 10
"""How deep steps nest."""
MAX_GROUPS = 1_000
SCHEMA_ID = "urn:taskengine:workflow"


def _bounded(value: Any) -> Any:
    """Refuse very deep or very many steps before each of them is looked at."""
    level, depth, number = [value], 0, 0
    while level:
        lists = (item.get(name) for item in level if isinstance(item, dict) for name in STEP_LISTS)
        level = [step for steps in lists if isinstance(steps, list) for step in steps]
        depth += bool(level)
        number += len(level)
        if depth > MAX_DEPTH:
            text = f"nests steps deeper than {MAX_DEPTH} levels; move inner ones into a workflow of their own"
            raise PydanticCustomError("steps_too_deep", text)
        if number > MAX_STEPS:
            raise PydanticCustomError("too_many_steps", f"has more than {MAX_STEPS} steps")
    return value


class WorkflowSpec(Wire):
    """A named definition of steps."""

    model_config = ConfigDict(title="Workflow")

    name: WorkflowName
    description: Text | None = None
    variables: JsonObject = Field(default_factory=dict, description="Names and defaults; a run may set others' values.")
    context: JsonObject = Field(default_factory=dict, description="What the shared context holds at the start.")
    steps: list[Step] = Field(min_length=1)
    on_failure: OnFailure = Field("fail", description="For steps that do not say it themselves.")
    timeout_seconds: Seconds | None = Field(None, description="Time limit of a whole run.")

    _within_bounds = model_validator(mode="before")(_bounded)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """A JSON Schema (2020-12) of definitions for editors, in the spelling that the docs use."""
        made = cls.model_json_schema(by_alias=False)
        for model in (made, *made["$defs"].values()):
            _spell_as_written(model)
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": SCHEMA_ID,
            **made,
            "examples": [_EXAMPLE],
        }


# Words of Python, under another name in the models.
_SPELLINGS = {"otherwise": "else", "not_": "not"}
_EXAMPLE = {
    "name": "nightly",
    "variables": {"region": "eu"},
    "steps": [
        {"id": "fetch", "type": "task", "task": {"type": "echo", "config": {"message": "{{ variables.region }}"}}},
        {
            "id": "check",
            "type": "conditional",
            "condition": {"field": "tasks.fetch.result.message", "operator": "equals", "value": "eu"},
            "then": [{"id": "ask", "type": "wait", "approval": {"approvers": ["ops"]}, "timeout_seconds": 3600}],
        },
    ],
}


def _spell_as_written(model: dict[str, Any]) -> None:
    """Rename fields that Python forbids, and leave out what OpenAPI added to JSON Schema."""
    properties = model.get("properties", {})
    model["properties"] = {_SPELLINGS.get(name, name): field for name, field in properties.items()}
    for field in properties.values():
        for part in (field, field.get("items", {})):
            part.pop("discriminator", None)


class GroupTask(TaskSpec):
    """A task of a group. An empty ``name`` stands for its key."""

    name: Annotated[str, StringConstraints(max_length=300), AfterValidator(no_nul)] = Field(
        "", validation_alias=AliasChoices("name", "title"), description="Shown in lists; without one the key is."
    )


class TaskGroup(Wire):
    """Tasks of an ad-hoc run that belong together."""

    id: Identifier
    name: Name | None = None
    depends_on: list[Reference] = Field([], max_length=MAX_GROUPS, description="Ids of other groups.")
    tasks: list[GroupTask] = Field(
        min_length=1,
        max_length=10_000,
        description="`depends_on` names keys of the same group, `group.key`, or ids of tasks that are stored already.",
    )
    timeout_seconds: Seconds | None = None
    on_failure: OnFailure = "fail"

    def keys(self) -> list[str]:
        """The key of each task; the n-th task without one has ``task_<n>``, counted from 1."""
        return [task.key or f"task_{number}" for number, task in enumerate(self.tasks, 1)]


class RunSpec(Wire):
    """What to run: a registered workflow, an inline definition, or task groups."""

    workflow: WorkflowName | None = Field(None, description="Name of a registered workflow.")
    version: int | None = Field(None, ge=1, description="Of `workflow`; absent: the newest.")
    definition: JsonObject | None = Field(None, description="A workflow as in `/v1/workflows/schema`.")
    task_groups: list[TaskGroup] | None = Field(None, min_length=1, max_length=MAX_GROUPS)
    name: Name | None = Field(None, description="Shown in lists; absent: the workflow's.")
    variables: JsonObject = Field(default_factory=dict)
    context: JsonObject = Field(default_factory=dict)
    timeout_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _one_form(self) -> RunSpec:
        forms = ("workflow", "definition", "task_groups")
        given = [name for name in forms if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"it has {' and '.join(given)}" if given else "it has none"
            raise PydanticCustomError("run_form", f"needs exactly one of {', '.join(forms)}; {found}")
        if self.version is not None and self.workflow is None:
            raise PydanticCustomError("version_without_workflow", "has a version, but no workflow that has versions")
        return self


StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\[\]-]{1,500}$")]
"""A key, or a path such as ``poll[2].ask``, where a key stands for several steps."""


class RetrySpec(Wire):
    """Where a run goes on from; without ``from``, from what failed."""

    from_: StepName | None = Field(
        None, alias="from", description="Key or path of the step that is run again, with what follows."
    )
    overrides: dict[StepName, JsonObject] = Field({}, description="Other configs, by key or path.")
    outputs: dict[StepName, Annotated[Any, AfterValidator(check_json)]] = Field(
        {}, description="Results that stand in for running, by key or path."
    )


class SignalSpec(Wire):
    """Wakes a wait, sets fields of the context, or both."""

    signal: Identifier | None = None
    data: JsonObject = Field(default_factory=dict, description="Becomes the result of the wait.")
    context: JsonObject = Field(default_factory=dict, description="Fields to set in the run's context.")
