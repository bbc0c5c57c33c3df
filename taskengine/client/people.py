"""Members and groups, and the messages that go out to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from taskengine.client.tasks import segment
from taskengine.client.transport import Transport

Channel = Literal["email", "slack", "webhook"]


class MemberFields(TypedDict, total=False):
    """What a member is made of."""

    role: Literal["owner", "member"]
    email: str | None
    slack_url: str | None
    webhook_url: str | None
    channels: list[Channel]


class Member(MemberFields):
    """A person who can be told something; addresses that may hold credentials show as ``***``."""

    id: str
    name: str
    created_at: str
    updated_at: str


class Group(TypedDict):
    """Members under one name."""

    name: str
    members: list[str]
    created_at: str
    updated_at: str


class Delivery(TypedDict, total=False):
    """An outgoing message; ``payload`` and ``attempts`` come with one that is asked for by its id."""

    id: str
    task_id: str | None
    run_id: str | None
    type: str
    channel: Channel
    recipient: str
    address: str
    status: Literal["pending", "sending", "delivered", "failed"]
    attempt: int
    max_attempts: int
    last_error: dict[str, Any] | None
    next_attempt_at: str | None
    started_at: str | None
    created_at: str
    updated_at: str
    completed_at: str | None
    payload: dict[str, Any]
    attempts: list[dict[str, Any]]


class Members:
    """The verbs of ``/v1/members``; changes need the scope admin."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def put(self, name: str, fields: MemberFields) -> Member:
        """Make a member, or replace the one of that name."""
        return cast("Member", self._http.call("PUT", f"/v1/members/{segment(name)}", body=dict(fields)))

    def get(self, name: str) -> Member:
        """One member."""
        return cast("Member", self._http.call("GET", f"/v1/members/{segment(name)}"))

    def list(self, *, limit: int | None = None) -> Iterator[Member]:
        """All members, by name."""
        return self._http.pages("/v1/members", {}, limit)

    def delete(self, name: str) -> None:
        """Remove a member, from groups too."""
        self._http.call("DELETE", f"/v1/members/{segment(name)}")


class Groups:
    """The verbs of ``/v1/groups``; changes need the scope admin."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def put(self, name: str, members: Sequence[str]) -> Group:
        """Make a group, or replace who is in it."""
        body = {"members": list(members)}
        return cast("Group", self._http.call("PUT", f"/v1/groups/{segment(name)}", body=body))

    def list(self, *, limit: int | None = None) -> Iterator[Group]:
        """All groups, by name."""
        return self._http.pages("/v1/groups", {}, limit)

    def delete(self, name: str) -> None:
        """Remove a group, not its members."""
        self._http.call("DELETE", f"/v1/groups/{segment(name)}")


class Deliveries:
    """The verbs of ``/v1/deliveries``."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def get(self, delivery_id: str | UUID) -> Delivery:
        """One message with what it says and its attempts."""
        return cast("Delivery", self._http.call("GET", f"/v1/deliveries/{segment(delivery_id)}"))

    def list(
        self,
        *,
        status: str | None = None,
        channel: Channel | None = None,
        task_id: str | UUID | None = None,
        limit: int | None = None,
    ) -> Iterator[Delivery]:
        """Messages, newest first."""
        wanted = {"status": status, "channel": channel, "task_id": None if task_id is None else str(task_id)}
        return self._http.pages("/v1/deliveries", wanted, limit)

    def redrive(self, delivery_id: str | UUID) -> Delivery:
        """Send one anew that was given up."""
        return cast("Delivery", self._http.call("POST", f"/v1/deliveries/{segment(delivery_id)}/redrive"))
