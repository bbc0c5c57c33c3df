"""Secrets and API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.shared import Listing, SecretName, Shape
from taskengine.domain.wire import Name, Timestamp, Wire, no_nul

SecretValue = Annotated[str, StringConstraints(min_length=1, max_length=65_536), AfterValidator(no_nul)]
ScopeName = Literal["read", "write", "admin"]


class SecretBody(Wire):
    """A secret's value. It is stored encrypted and never read back."""

    value: SecretValue = Field(json_schema_extra={"writeOnly": True}, examples=["s3cr3t"])


class NamedSecretBody(SecretBody):
    """A secret with its name, as configs use it: `{{ secrets.NAME }}`."""

    name: SecretName = Field(examples=["CRM_TOKEN"])


class Secret(Shape):
    """A stored secret, without its value."""

    name: str
    created_at: datetime
    updated_at: datetime


class SecretList(Listing[Secret]):
    """One page of secrets by name."""


class ApiKeyBody(Wire):
    """A new API key: `read` looks, `write` also changes tasks, `admin` also manages queues, secrets and keys."""

    name: Name = Field(examples=["ci"])
    scopes: list[ScopeName] = Field(min_length=1, max_length=3)
    expires_at: Timestamp | None = None


class ApiKey(Shape):
    """An API key, without the key itself."""

    id: UUID
    name: str
    prefix: str = Field(description="The key's first characters, to tell keys apart.")
    scopes: list[ScopeName]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(ApiKey):
    """An API key with the key, which is shown this once."""

    key: str


class ApiKeyList(Listing[ApiKey]):
    """One page of API keys, newest first."""
