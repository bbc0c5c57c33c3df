"""Secrets and API keys of the organization that the client's own key belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from taskengine.client.models import Time
from taskengine.client.tasks import segment
from taskengine.client.transport import Transport

Scope = Literal["read", "write", "admin"]


class Secret(TypedDict):
    """A stored secret's name and times; the value is never read back."""

    name: str
    created_at: str
    updated_at: str


class ApiKey(TypedDict):
    """An API key without the key itself; ``prefix`` is its first characters."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewApiKey(ApiKey):
    """A new API key with the key, which is shown this once."""

    key: str


class Secrets:
    """The verbs of ``/v1/secrets``: values go in and are never read back."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def set(self, name: str, value: str) -> Secret:
        """Store a secret, or replace its value."""
        return cast("Secret", self._http.call("PUT", f"/v1/secrets/{segment(name)}", body={"value": value}))

    def list(self, *, limit: int | None = None) -> Iterator[Secret]:
        """Names and times."""
        return self._http.pages("/v1/secrets", {}, limit)

    def delete(self, name: str) -> None:
        """Forget a secret."""
        self._http.call("DELETE", f"/v1/secrets/{segment(name)}")


class ApiKeys:
    """The verbs of ``/v1/api-keys``; they need the scope admin."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def create(
        self, name: str, scopes: Sequence[Scope] = ("read", "write"), *, expires_at: Time | None = None
    ) -> NewApiKey:
        """Make a key; ``key`` in the answer is shown this one time."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = expires_at
        return cast("NewApiKey", self._http.call("POST", "/v1/api-keys", body=body))

    def list(self, *, limit: int | None = None) -> Iterator[ApiKey]:
        """All keys, without the keys themselves."""
        return self._http.pages("/v1/api-keys", {}, limit)

    def revoke(self, key_id: str | UUID) -> None:
        """End a key; requests with it are refused within seconds."""
        self._http.call("DELETE", f"/v1/api-keys/{segment(key_id)}")
