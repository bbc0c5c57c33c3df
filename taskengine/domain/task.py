"""A task as its creator describes it, and the small value types around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from taskengine.domain.expansion import ExpansionConfig
from taskengine.domain.wire import JsonObject, Key, Name, Seconds, Tag, Text, Timestamp, Url, Wire, no_nul

MAX_DEPENDENCIES = 1000


class Priority(IntEnum):
    """Orders dispatch within a queue; 5 goes first."""

    low = 1
    normal = 2
    high = 3
    urgent = 4
    critical = 5


class RetryPolicy(Wire):
    """How long to wait before attempt n+1. Defaults: exponential from 2 s, at most 600 s, with jitter."""

    strategy: Literal["exponential", "fixed", "list"] = "exponential"
    delay_seconds: float = Field(2, ge=0, le=7 * 86400, allow_inf_nan=False, description="First delay.")
    max_delay_seconds: float = Field(
        600, ge=0, le=30 * 86400, allow_inf_nan=False, description="For `exponential`: no delay grows beyond this."
    )
    delays: list[Annotated[float, Field(ge=0, le=30 * 86400, allow_inf_nan=False)]] = Field(
        [], max_length=100, description="For `list`: the delay of each retry; the last one repeats."
    )
    jitter: bool = Field(True, description="Spread each delay over 50 to 100 % of its length.")


class Resources(Wire):
    """What a task needs of its worker."""

    cpu_cores: float | None = Field(None, gt=0, le=4096)
    memory_gb: float | None = Field(None, gt=0, le=65536)
    disk_gb: float | None = Field(None, gt=0, le=1_000_000)
    gpu_memory_gb: float | None = Field(None, gt=0, le=65536)


class TaskSpec(Wire):
    """A task as created. ``depends_on`` holds ids of tasks, or keys of tasks in the same batch."""

    name: Name = Field(validation_alias=AliasChoices("name", "title"), description="Shown in lists; `title` works too.")
    type: Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(no_nul)] = Field(
        validation_alias=AliasChoices("type", "task_type", "taskType"),
        description="A task type, see `/v1/task-types`.",
    )
    config: JsonObject = Field(
        default_factory=dict,
        validation_alias=AliasChoices("config", "execution_config", "executionConfig"),
        description="The type's own input, in its config schema.",
    )
    key: Key | None = Field(None, description="Name for `depends_on` within a batch.")
    description: Text | None = None
    priority: Literal["low", "normal", "high", "urgent", "critical"] = "normal"
    urgency: Literal["normal", "urgent"] = Field("normal", description="Breaks ties within a priority.")
    assigned_to_bot: bool = True
    assigned_to: Name | None = None
    execution_type: Literal["automatic", "manual", "scheduled"] = Field(
        "automatic", description="`manual` waits for POST /v1/tasks/{id}/execute."
    )
    scheduled_for: Timestamp | None = Field(None, description="Not before this time.")
    deadline: Timestamp | None = Field(None, description="When it should be done; shown, not enforced.")
    expires_at: Timestamp | None = Field(None, description="Cancelled if it has not started by then.")
    requires_human_review: bool = Field(False, description="Waits for approve or reject.")
    depends_on: list[Key] = Field([], max_length=MAX_DEPENDENCIES)
    max_retries: int = Field(3, ge=0, le=100)
    retry: RetryPolicy = RetryPolicy()
    timeout_seconds: Seconds | None = Field(None, description="Time limit of one attempt.")
    tags: list[Tag] = Field([], max_length=50)
    metadata: JsonObject = Field(default_factory=dict)
    resource_requirements: Resources | None = None
    input_schema: JsonObject | None = Field(
        None,
        description="JSON Schema that the config must meet, once its templates are rendered. At most 64 KB; `$ref` "
        "into itself only, not recursive.",
    )
    output_schema: JsonObject | None = Field(
        None, description="JSON Schema that the result must meet; limits as above."
    )
    queue: Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(no_nul)] | None = Field(
        None, description="Overrides the type's own queue."
    )
    run_on: Literal["success", "failure", "always"] = Field(
        "success", description="Which end of what it depends on lets it run; `failure` and `always` are for clean-up."
    )
    on_failure: Literal["fail", "continue"] = Field(
        "fail", description="`continue`: what depends on it goes on as if it had completed."
    )
    expansion_config: ExpansionConfig | None = Field(None, description="Makes one task many, over arrays.")
    webhook_url: Url | None = Field(
        None,
        description="Gets a signed webhook when the task has ended, however it ended: type `task.completed`, "
        "`task.failed`, `task.cancelled` or `task.skipped`.",
    )
    notify_on_complete: bool = Field(
        False, description="Tell `metadata.reply_to`, or else the owner, when it has completed."
    )
    notify_on_failure: bool = Field(False, description="The same when it has failed and is not tried again.")
    input: JsonObject | None = Field(
        None,
        description="Data that array mappings and templates (`input.x`) may name. What an array mapping names may also "
        "stand beside `expansion_config`, here or in the config.",
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_input(cls, value: Any) -> Any:
        return gather_input(value) if isinstance(value, dict) else value


_CONFIG_SPELLINGS = ("config", "execution_config", "executionConfig")
_EXPANSION_SPELLINGS = ("expansion_config", "expansionConfig")


def gather_input(task: dict[str, Any]) -> dict[str, Any]:
    """A task in which ``expansion_config`` and the data it names, wherever they were sent, are where they belong.

    People write the arrays beside the expansion: in the task they are moved into ``input`` here, in its config by
    ``lifecycle.validate``, which knows what else the config may hold.
    """
    config_name = next((name for name in _CONFIG_SPELLINGS if isinstance(task.get(name), dict)), None)
    config = dict(task[config_name]) if config_name else {}
    inner = next((name for name in _EXPANSION_SPELLINGS if name in config), None)
    outer = next((name for name in _EXPANSION_SPELLINGS if task.get(name) is not None), None)
    expansion = config.get(inner) if inner else task.get(outer) if outer else None
    if not isinstance(expansion, dict) or (inner and outer):
        return task
    moved = dict(task)
    if inner:
        moved["expansion_config"] = config.pop(inner)
    given = moved.get("input")
    data = dict(given) if isinstance(given, dict) else {}
    for name in expansion_roots(expansion):
        if name in moved and name not in _TASK_FIELDS:
            data.setdefault(name, moved.pop(name))
    if config_name:
        moved[config_name] = config
    if data and (given is None or isinstance(given, dict)):
        moved["input"] = data
    return moved


def expansion_roots(expansion: dict[str, Any]) -> set[str]:
    """First parts of the paths that an expansion reads."""
    mapping = expansion.get("array_mapping", expansion.get("arrayMapping"))
    paths = list(mapping.values()) if isinstance(mapping, dict) else []
    if expansion.get("type") == "custom":
        paths.append(expansion.get("data") or "data")
    return {path.split(".")[0] for path in paths if isinstance(path, str)}


_TASK_FIELDS = frozenset(spelling for name in TaskSpec.model_fields for spelling in (name, to_camel(name))) | {
    "title",
    "task_type",
    "taskType",
    *_CONFIG_SPELLINGS,
}


class TaskChanges(Wire):
    """PATCH of a task that has not started: only the sent fields change, `***` keeps a credential."""

    name: Name | None = Field(None, validation_alias=AliasChoices("name", "title"))
    config: JsonObject | None = Field(
        None, validation_alias=AliasChoices("config", "execution_config", "executionConfig")
    )
    description: Text | None = None
    priority: Literal["low", "normal", "high", "urgent", "critical"] | None = None
    urgency: Literal["normal", "urgent"] | None = None
    assigned_to: Name | None = None
    scheduled_for: Timestamp | None = None
    deadline: Timestamp | None = None
    expires_at: Timestamp | None = None
    max_retries: int | None = Field(None, ge=0, le=100)
    retry: RetryPolicy | None = None
    timeout_seconds: Seconds | None = None
    tags: list[Tag] | None = Field(None, max_length=50)
    metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the organization, and the API key that proved it."""

    organization_id: UUID
    key_id: UUID | None
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Narrows a list of tasks; None means any."""

    statuses: tuple[str, ...] | None = None
    type: str | None = None
    queue: str | None = None
    tag: str | None = None
    assigned_to: str | None = None
    priority: str | None = None
    run_id: UUID | None = None
    parent_id: UUID | None = None
    kinds: tuple[str, ...] | None = ("task", "expansion")
    created_after: datetime | None = None
    created_before: datetime | None = None
    q: str | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """``cursor`` is the opaque text of the page before."""

    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``next_cursor`` is None on the last."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The list shape of the HTTP contract."""
        return {"items": self.items, "next_cursor": self.next_cursor}
