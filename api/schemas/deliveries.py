"""Deliveries, the secret of webhooks, members and groups."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.pagination import PageQuery
from api.schemas.shared import Filter, Id, Listing, Shape
from taskengine.domain.wire import Text, Wire, no_nul

Channel = Literal["email", "slack", "webhook"]
Status = Literal["pending", "sending", "delivered", "failed"]
PersonName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Email = Annotated[str, StringConstraints(min_length=3, max_length=320), AfterValidator(no_nul)]
Url = Annotated[
    str, StringConstraints(pattern=r"^(https?://[^\s/]\S*|\*\*\*)$", max_length=2000), AfterValidator(no_nul)
]


class Fault(Shape):
    """Why an attempt at a message failed."""

    code: str = Field(examples=["http_status"])
    message: str


class DeliveryAttempt(Shape):
    """One attempt to send a message."""

    number: int
    started_at: datetime
    ended_at: datetime
    outcome: Literal["delivered", "failed", "lost"] = Field(description="`lost`: the worker fell silent meanwhile.")
    status: int | None = Field(description="What the other side answered; null where it did not.")
    answer: str | None = Field(description="The beginning of its answer.")
    error: Fault | None


class ListedDelivery(Shape):
    """An outgoing message, without what it says."""

    id: UUID
    task_id: UUID | None
    run_id: UUID | None
    type: str = Field(examples=["notification"])
    channel: Channel
    recipient: str = Field(description="Whom it is for, as it was named.")
    address: str = Field(description="Where it goes, without what could be a credential.")
    status: Status
    attempt: int = Field(description="Attempts so far.")
    max_attempts: int
    last_error: Fault | None
    next_attempt_at: datetime | None
    started_at: datetime | None = Field(description="When the last attempt began.")
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = Field(description="When it arrived or was given up.")


class Delivery(ListedDelivery):
    """An outgoing message in full. Its `webhook-id` is `msg_` and its id without hyphens."""

    payload: dict[str, Any] = Field(description="What is sent; secrets in it show as `***`.")
    attempts: list[DeliveryAttempt]


class DeliveryList(Listing[ListedDelivery]):
    """One page of deliveries, newest first."""


class DeliveryQuery(PageQuery):
    """Narrows the list of deliveries."""

    status: Status | None = None
    channel: Channel | None = None
    type: Filter | None = Field(None, description="`notification`, `reminder`, `task.completed` …")
    task_id: Id | None = None
    run_id: Id | None = None


class WebhookSecretBody(Wire):
    """The secret to sign with from now on; a fresh one is made if none is sent."""

    secret: Text | None = Field(
        None,
        description="`whsec_` and 24 to 64 bytes in base64.",
        json_schema_extra={"writeOnly": True},
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    )


class WebhookSecret(Shape):
    """What outgoing webhooks are signed with (Standard Webhooks)."""

    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])


class MemberBody(Wire):
    """Who somebody is and where to reach them. A URL of `***` keeps the stored one."""

    role: Literal["owner", "member"] = Field("member", description="`owner` is who the recipient `owner` means.")
    email: Email | None = Field(None, examples=["anna@example.com"])
    slack_url: Url | None = Field(None, description="A Slack-compatible incoming webhook; stored encrypted.")
    webhook_url: Url | None = Field(None, description="Gets signed webhooks; stored encrypted.")
    channels: list[Channel] = Field(
        [], max_length=3, description="Channels to use, all of them; none: the first of these that has an address."
    )


class Member(Shape):
    """A person who can be told something."""

    id: UUID
    name: str
    role: Literal["owner", "member"]
    email: str | None
    slack_url: Literal["***"] | None
    webhook_url: Literal["***"] | None
    channels: list[Channel]
    created_at: datetime
    updated_at: datetime


class MemberList(Listing[Member]):
    """One page of members by name."""


class GroupBody(Wire):
    """Who is in a group."""

    members: list[PersonName] = Field(max_length=1000, examples=[["anna", "ben"]])


class Group(Shape):
    """Members under one name."""

    name: str
    members: list[str]
    created_at: datetime
    updated_at: datetime


class GroupList(Listing[Group]):
    """One page of groups by name."""
