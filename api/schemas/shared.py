"""Bases and small shapes that several answers share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from taskengine.domain.wire import Wire, no_nul

T = TypeVar("T")


class Shape(BaseModel):
    """Base of answers: documents what the engine's verbs return. New fields may appear in later versions."""

    model_config = ConfigDict(extra="allow")


class Listing(Shape, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Ask again with this as `cursor`; null on the last page.")


class ErrorInfo(Shape):
    """Why an attempt failed."""

    code: str = Field(examples=["http_503"])
    message: str
    details: dict[str, Any]


class NoBody(Wire):
    """Takes nothing: an empty body or `{}`."""


def _uuid(text: Any) -> Any:
    """UUIDs in their one usual spelling; pydantic would also take braces, URNs and no hyphens."""
    if isinstance(text, UUID):
        return text
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise ValueError("should be a UUID")
    return UUID(text)


Id = Annotated[UUID, BeforeValidator(_uuid)]
Filter = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(no_nul)]
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
