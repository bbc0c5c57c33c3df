"""The steps of a workflow, as its author writes them: one model for each type.

A model judges what one step alone shows. What takes the whole definition or the installed task types to judge
(dependencies, names in templates, configs) is judged by ``lifecycle.definitions``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from taskengine.domain.conditions import Condition
from taskengine.domain.task import TaskSpec
from taskengine.domain.wire import JsonObject, Key, Name, Seconds, Text, Wire, no_nul, read_timestamp

MAX_STEPS = 5_000
"""Of one definition, nested ones included."""
MAX_ITERATIONS = 10_000

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", re.ASCII)
_WORKFLOW_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)

RunOn = Literal["success", "failure", "always"]
OnFailure = Literal["fail", "continue"]


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise PydanticCustomError(
            "invalid_id",
            "should start with a letter or _ and go on with letters, digits, _ or -, at most 100 characters",
        )
    return text


def _workflow_name(text: str) -> str:
    if not _WORKFLOW_NAME.fullmatch(text):
        raise PydanticCustomError(
            "invalid_name",
            "should start with a letter, digit or _ and go on with letters, digits, _, . or -: at most 100 characters",
        )
    return text


Identifier = Annotated[
    str, AfterValidator(_identifier), WithJsonSchema({"type": "string", "pattern": f"^{_IDENTIFIER.pattern}$"})
]
WorkflowName = Annotated[
    str, AfterValidator(_workflow_name), WithJsonSchema({"type": "string", "pattern": f"^{_WORKFLOW_NAME.pattern}$"})
]
# What a dependency may name is judged against the definition, where a sentence can say what exists.
Reference = Annotated[str, StringConstraints(min_length=1, max_length=301), AfterValidator(no_nul)]


def _only_default(default: Any) -> BeforeValidator:
    """Refuse a field that a task has elsewhere but a step's task has not; its default, as dumped, passes."""

    def refuse(value: Any) -> Any:
        if value != default:
            raise PydanticCustomError("misplaced_field", "belongs to the step itself, not into its task")
        return value

    return BeforeValidator(refuse)


class TaskTemplate(TaskSpec):
    """The task of a step: a task's fields without ``key``, ``depends_on``, ``run_on`` and ``on_failure``.

    An empty ``name`` stands for the step's name, or its id.
    """

    name: Annotated[str, StringConstraints(max_length=300), AfterValidator(no_nul)] = Field(
        "", description="Shown in lists; without one the step's name or id is."
    )
    key: SkipJsonSchema[Annotated[None, _only_default(None)]] = None
    depends_on: SkipJsonSchema[Annotated[list[Key], _only_default([])]] = Field([])
    run_on: SkipJsonSchema[Annotated[RunOn, _only_default("success")]] = "success"
    on_failure: SkipJsonSchema[Annotated[OnFailure, _only_default("fail")]] = "fail"


class StepBase(Wire):
    """What every step has."""

    id: Identifier = Field(description="Unique in the whole definition; templates say `tasks.<id>.result`.")
    name: Name | None = Field(None, description="Shown to people instead of the id.")
    description: Text | None = None
    depends_on: list[Reference] | None = Field(
        None,
        max_length=1000,
        description="Ids of steps of the same list. Absent: the step before. `[]`: starts at once.",
    )
    run_on: RunOn = Field("success", description="Which end of what it depends on lets the step run.")
    on_failure: OnFailure | None = Field(
        None, description="`continue`: what comes after goes on as if it had completed. Absent: the workflow's."
    )


class TaskStep(StepBase):
    """Runs one task, or with ``expansion_config`` many."""

    type: Literal["task"]
    task: TaskTemplate


class ParallelStep(StepBase):
    """Runs its steps at once, as far as their ``depends_on`` allows."""

    type: Literal["parallel"]
    steps: list[Step] = Field(min_length=1)
    max_parallel: int | None = Field(None, ge=1, le=MAX_STEPS, description="How many run at once.")
    timeout_seconds: Seconds | None = None


class SequentialStep(StepBase):
    """Runs its steps in order."""

    type: Literal["sequential"]
    steps: list[Step] = Field(min_length=1)
    timeout_seconds: Seconds | None = None


class ConditionalStep(StepBase):
    """Runs one of two lists of steps."""

    type: Literal["conditional"]
    condition: Condition
    then: list[Step] = Field([])
    otherwise: list[Step] = Field([], alias="else")

    @model_validator(mode="after")
    def _some_branch(self) -> ConditionalStep:
        if not self.then and not self.otherwise:
            raise PydanticCustomError("no_branch", "has no branch; give `then`, `else` or both some steps")
        return self


def _list_or_text(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise PydanticCustomError(
            "invalid_for_each",
            "should be a list, a path such as `context.users`, or one template such as `{{ tasks.find.result }}`",
        )
    return value


class LoopStep(StepBase):
    """Runs its steps again and again: while a condition holds, or once for each item."""

    type: Literal["loop"]
    condition: Condition | None = Field(None, description="Looked at before each round.")
    for_each: Annotated[str | list[Any], BeforeValidator(_list_or_text)] | None = Field(
        None,
        description="A dotted path, one whole template, or a list. In the steps each is `item`, its number `index`.",
    )
    steps: list[Step] = Field(min_length=1)
    max_iterations: int = Field(
        100,
        ge=1,
        le=MAX_ITERATIONS,
        description="Bounds the loop, whatever its condition says; a longer `for_each` fails.",
    )
    max_parallel: int = Field(1, ge=1, le=MAX_ITERATIONS, description="Rounds at once; for `for_each` only.")
    timeout_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _one_form(self) -> LoopStep:
        if (self.condition is None) == (self.for_each is None):
            both = "both" if self.condition is not None else "neither"
            raise PydanticCustomError(
                "loop_form", f"needs exactly one of `condition` and `for_each`; it has {both} of them"
            )
        if self.for_each is None and self.max_parallel != 1:
            raise PydanticCustomError(
                "max_parallel_without_for_each",
                "has max_parallel, but the rounds of a condition run one after the other; use it with `for_each`",
            )
        return self


def _until(text: str) -> str:
    if "{{" not in text:
        read_timestamp(text)
    return text


class Approval(Wire):
    """A person's yes or no."""

    approvers: list[Name] = Field(min_length=1, max_length=100, description="Names of people or API keys.")
    message: Text | None = Field(None, description="What is being approved; may hold templates.")


WAIT_FORMS = ("seconds", "until", "condition", "signal", "approval")


class WaitStep(StepBase):
    """Holds the run until a time, a condition, a signal or a person lets it go on."""

    type: Literal["wait"]
    seconds: float | None = Field(None, ge=0, le=366 * 86400, allow_inf_nan=False)
    until: Annotated[str, AfterValidator(_until)] | None = Field(None, description="RFC 3339, or a template.")
    condition: Condition | None = Field(None, description="Looked at whenever the context changes.")
    signal: Identifier | None = Field(None, description="Name that POST /v1/runs/{id}/signal wakes.")
    approval: Approval | None = None
    timeout_seconds: Seconds | None = None
    on_timeout: OnFailure = Field("fail", description="What happens when `timeout_seconds` have passed.")

    @model_validator(mode="after")
    def _one_form(self) -> WaitStep:
        given = [name for name in WAIT_FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"it has {' and '.join(given)}" if given else "it has none"
            raise PydanticCustomError("wait_form", f"needs exactly one of {', '.join(WAIT_FORMS)}; {found}")
        if self.timeout_seconds is not None and given[0] in ("seconds", "until"):
            raise PydanticCustomError(
                "timeout_not_allowed", f"waits for a time already (`{given[0]}`); leave timeout_seconds out"
            )
        if "on_timeout" in self.model_fields_set and self.timeout_seconds is None:
            text = "has on_timeout, but no timeout_seconds; give it one"
            raise PydanticCustomError("on_timeout_without_timeout", text)
        return self


class WorkflowStep(StepBase):
    """Runs another workflow as a part of this run."""

    type: Literal["workflow"]
    workflow: WorkflowName
    version: int | None = Field(None, ge=1, description="Absent: the newest when the step starts.")
    variables: JsonObject = Field(default_factory=dict, description="Values or templates.")
    timeout_seconds: Seconds | None = None


Step = Annotated[
    TaskStep | ParallelStep | SequentialStep | ConditionalStep | LoopStep | WaitStep | WorkflowStep,
    Field(discriminator="type"),
]
STEP_TYPES = ("task", "parallel", "sequential", "conditional", "loop", "wait", "workflow")
STEP_LISTS = ("steps", "then", "else")
"""Fields of a step that hold steps, as they are spelt in a definition."""


def walk(steps: list[Step], path: tuple[str | int, ...] = ("steps",)) -> Iterator[tuple[tuple[str | int, ...], Step]]:
    """All steps, nested ones after their parent, each with its path in the document."""
    for place, step in enumerate(steps):
        here = (*path, place)
        yield here, step
        for name, nested in lists_of(step):
            yield from walk(nested, (*here, name))


def lists_of(step: Step) -> list[tuple[str, list[Step]]]:
    """The lists of steps in a step, each under its name in the document."""
    if isinstance(step, ConditionalStep):
        return [("then", step.then), ("else", step.otherwise)]
    return [("steps", step.steps)] if isinstance(step, ParallelStep | SequentialStep | LoopStep) else []
