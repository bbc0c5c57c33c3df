"""Workflow definitions as the API takes and shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel, StringConstraints

from api.operations import Query
from api.schemas.shared import Listing, Shape
from taskengine.domain.wire import Wire

RESERVED = ("schema", "validate", "plan")
"""Parts of paths where a workflow's name could stand, too: no workflow can be registered under them."""
WorkflowPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


class WorkflowBody(Wire):
    """A definition; `/v1/workflows/schema` describes its steps in full."""

    # The whole model nests in itself: readers of the OpenAPI document (generators, fuzzers) lose themselves in it.
    name: str
    description: str | None = None
    variables: dict[str, Any] = Field({}, description="Names and defaults.")
    context: dict[str, Any] = Field({}, description="What the shared context holds at the start.")
    steps: list[dict[str, Any]] = Field(min_length=1)
    on_failure: Literal["fail", "continue"] = "fail"
    timeout_seconds: float | None = Field(None, description="Time limit of a whole run.")


class CheckedBody(RootModel[Any]):
    """What should be a definition; anything is taken, and judged."""


class WorkflowSummary(Shape):
    """A version of a workflow as lists show it."""

    name: str
    version: int = Field(description="Counts from 1; each change of the definition makes one more.")
    description: str | None
    created_by: str = Field(description="Name of the API key that registered this version.")
    created_at: datetime


class Workflow(WorkflowSummary):
    """A version of a workflow."""

    definition: dict[str, Any]


class WorkflowList(Listing[WorkflowSummary]):
    """One page of workflows by name, each in its newest version."""


class VersionList(Listing[WorkflowSummary]):
    """One page of a workflow's versions, newest first."""


def _version(text: Any) -> Any:
    if isinstance(text, str) and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError("should be a whole number from 1")
    return text


class WorkflowQuery(Query):
    """Which version, and in which form."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(_version)] | None = Field(
        None, description="Absent: the newest."
    )
    format: Literal["json", "yaml"] = Field("json", description="`yaml`: the text as it was sent, with its comments.")


class DefinitionFault(Shape):
    """One fault of a definition."""

    path: str = Field(description="Leads to the field.", examples=["steps[2].condition.operator"])
    line: int | None = Field(description="In the document as sent, from 1.")
    column: int | None
    code: str = Field(examples=["duplicate_id"])
    message: str


class Validation(Shape):
    """Whether a definition could be registered, and all that is wrong with it."""

    valid: bool
    errors: list[DefinitionFault]


class Plan(Shape):
    """What a run of a definition would do, as far as that is known before it runs."""

    order: list[str] = Field(description="Paths of the steps in an order in which they could run.")
    layers: list[list[str]] = Field(description="Steps that may run at the same time, layer by layer.")
    critical_path: list[str] = Field(description="The longest way through the steps.")
    expected_seconds: float | None = Field(
        description="Along that way, by past executions of the same task types; null where there are none."
    )
    steps: int = Field(description="How many steps there are, nested ones included.")
