"""What is told of a browser task: its steps, files and refused requests."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, JsonValue

from taskengine.domain.errors import HandlerError
from taskengine.handlers.base import ArtifactRef, HandlerOutput
from workers.browser.egress_proxy import Refusal


class StoredPart(HandlerOutput):
    """A stored file; ``/v1/artifacts/{id}`` has it."""

    id: UUID = Field(description="Id of the artifact.")
    name: str = Field(description="File name.")
    content_type: str = Field(description="Media type.")
    size_bytes: int = Field(description="Size.")


class StepFault(HandlerOutput):
    """Why a step failed."""

    code: str = Field(description="Machine code.")
    message: str = Field(description="What happened, and what to do.")
    details: dict[str, JsonValue] = Field({}, description="More about it.")


class StepResult(HandlerOutput):
    """One step as it went."""

    index: int = Field(description="Place in `automationSteps`, from 0.")
    name: str | None = Field(description="Its name, if it has one.")
    type: str = Field(description="Its type.")
    status: Literal["succeeded", "failed"] = Field(description="A failed step is in the result if it was optional.")
    url: str = Field(description="Address of the page afterwards.")
    started_at: datetime = Field(description="When it began.")
    duration_ms: int = Field(description="How long it took, all tries together.")
    tries: int = Field(description="How often it was tried.")
    result: JsonValue = Field(description="What it brought.")
    resolved: JsonValue = Field(None, description="What its instruction was taken to mean, and how that was found.")
    error: StepFault | None = Field(None, description="Why it failed.")
    screenshot: StoredPart | None = Field(None, description="Picture of the page.")
    dom: StoredPart | None = Field(None, description="The page's DOM.")


class RefusedRequest(HandlerOutput):
    """A request of the page that was not let out."""

    url: str = Field(description="Its address.")
    kind: str = Field(description="What wanted it: `document`, `image`, `fetch`, `websocket`, `redirect` …")
    address: str = Field(description="The network address that it was at.")
    reason: str = Field(description="Why it was refused.")
    count: int = Field(description="How often it was tried.")


def stored(ref: ArtifactRef) -> StoredPart:
    """A stored file for the result."""
    return StoredPart(id=ref.id, name=ref.name, content_type=ref.content_type, size_bytes=ref.size_bytes)


def fault(error: HandlerError) -> StepFault:
    """A step's error for the result."""
    return StepFault(code=error.info.code, message=error.info.message, details=error.info.details)


def refused(refusal: Refusal) -> RefusedRequest:
    """A refusal for the result."""
    return RefusedRequest(
        url=refusal.url, kind=refusal.kind, address=refusal.address, reason=refusal.reason, count=refusal.count
    )
