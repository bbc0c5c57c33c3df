"""One-time codes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.shared import Shape
from taskengine.domain.wire import Name, Wire, no_nul

Code = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(no_nul)]


class OneTimeCodeBody(Wire):
    """A code as it came by message, and for whom."""

    identifier: Name = Field(
        description="What the waiting task names: an address, a phone number, an account.",
        examples=["jane@example.com"],
    )
    code: Code = Field(json_schema_extra={"writeOnly": True}, examples=["123456"])
    ttl_seconds: float = Field(600, gt=0, le=3600, description="So long it may be used.")


class OneTimeCode(Shape):
    """A stored code, without the code itself."""

    id: UUID
    identifier: str
    created_at: datetime
    expires_at: datetime
