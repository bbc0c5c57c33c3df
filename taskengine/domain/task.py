"""A task as its creator describes it, and the small value types around it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

MAX_DEPENDENCIES = 1000
MAX_NESTING = 64
MAX_FIELDS = 100

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
# Outside of these, moving a time to another zone can leave what Postgres or Python can hold.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Priority(IntEnum):
    """Orders dispatch within a queue; 5 goes first."""

    low = 1
    normal = 2
    high = 3
    urgent = 4
    critical = 5


def no_nul(text: str) -> str:
    """Postgres cannot store NUL in text."""
    if "\0" in text:
        raise ValueError("holds a NUL character, which cannot be stored")
    return text


def storable(text: str) -> str:
    """Refuse text that UTF-8 or Postgres cannot hold: NUL and lone surrogates."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("holds a lone surrogate, which is no character") from None
    return no_nul(text)


def read_timestamp(value: Any) -> datetime:
    """RFC 3339 text, or an aware datetime, as a time in UTC between 1970 and 9998."""
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise ValueError("should be a time like 2030-01-31T09:00:00Z, with its zone (RFC 3339)")
        value = datetime.fromisoformat(value.upper())
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("should be a time like 2030-01-31T09:00:00Z, with its zone (RFC 3339)")
    if not _EARLIEST <= value < _LATEST:
        raise ValueError("should lie between the years 1970 and 9998")
    return value.astimezone(UTC)


def few_fields(value: Any) -> Any:
    """Refuse an object with very many fields before each unknown one is reported as a fault."""
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise ValueError(f"has {len(value)} fields; no object here takes more than {MAX_FIELDS}")
    return value


Timestamp = Annotated[datetime, BeforeValidator(read_timestamp)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(no_nul)]
Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(no_nul)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(no_nul)]
Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]


def check_json(value: Any) -> Any:
    """Refuse what JSON in Postgres cannot hold: NUL, lone surrogates, NaN, deep nesting, integers over 64 bits."""
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth > MAX_NESTING:
        raise ValueError(f"is nested deeper than {MAX_NESTING} levels")
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            storable(name)
            _check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("holds NaN or an infinite number, which JSON has no word for")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("holds an integer of more than 64 bits; send it as a string")


JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]


class Wire(BaseModel):
    """Base of what clients send: snake_case or camelCase, unknown fields and wrong types refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        return few_fields(value)


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
