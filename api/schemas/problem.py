"""The shape of every error answer (RFC 9457)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.errors import STATUS


class Fault(BaseModel):
    """One fault of the input."""

    loc: list[str | int] = Field(
        description="Path to the field: `body`, `query`, `path` or `header`, then names and indexes.",
        examples=[["body", "config", "apiEndpoint"]],
    )
    msg: str = Field(examples=["is required"])
    type: str = Field(description="Machine code of the fault.", examples=["missing"])
    line: int | None = Field(None, description="Where it stands in a YAML or JSON document, from 1; else left out.")
    column: int | None = Field(None, description="Place in that line, from 1; else left out.")


class Problem(BaseModel):
    """Why a request was refused. `invalid_transition` adds `from`, `to` and `allowed`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="URN of the code.", examples=["urn:taskengine:problem:invalid_input"])
    title: str
    status: int
    detail: str = Field(description="A sentence for people.")
    code: str = Field(description="What programs should look at.", json_schema_extra={"enum": list[Any](STATUS)})
    errors: list[Fault] = Field(description="Every fault of the input; empty for other problems.")
