"""/v1/secrets and /v1/api-keys"""

from __future__ import annotations

from uuid import UUID

from api.answers import Answer, created, no_content, ok
from api.operations import Call, Door
from api.pagination import PageQuery
from api.schemas.administration import (
    ApiKeyBody,
    ApiKeyList,
    NamedSecretBody,
    NewApiKey,
    Secret,
    SecretBody,
    SecretList,
)
from api.schemas.shared import SecretName
from taskengine.lifecycle import keys
from taskengine.lifecycle import secrets as keeping

secrets = Door("secrets", "Secrets for configs: written, never read back.")
api_keys = Door("api-keys", "Keys of this API.")


@secrets.route("POST", "/v1/secrets", {201: Secret}, scope="admin")
def store(call: Call, body: NamedSecretBody) -> Answer:
    """Store or replace a secret."""
    return created(keeping.put(call.engine, call.caller, body.name, body.value), f"/v1/secrets/{body.name}")


@secrets.route("PUT", "/v1/secrets/<name>", {200: Secret}, scope="admin")
def put(call: Call, name: SecretName, body: SecretBody) -> Answer:
    """Store or replace a secret by its name."""
    return ok(keeping.put(call.engine, call.caller, name, body.value))


@secrets.route("GET", "/v1/secrets", {200: SecretList}, scope="admin")
def secret_listing(call: Call, query: PageQuery) -> Answer:
    """List the names and times of secrets."""
    return ok(keeping.listing(call.engine, call.caller, query.request()).as_dict())


@secrets.route("DELETE", "/v1/secrets/<name>", {204: None}, scope="admin")
def forget(call: Call, name: SecretName) -> Answer:
    """Delete a secret."""
    keeping.delete(call.engine, call.caller, name)
    return no_content()


@api_keys.route("POST", "/v1/api-keys", {201: NewApiKey}, scope="admin", secret_answer=True)
def create(call: Call, body: ApiKeyBody) -> Answer:
    """Make an API key; the key itself is in this answer only."""
    made = keys.create(call.engine, call.caller, body.name, list(body.scopes), expires_at=body.expires_at)
    return created(made, f"/v1/api-keys/{made['id']}")


@api_keys.route("GET", "/v1/api-keys", {200: ApiKeyList}, scope="admin")
def key_listing(call: Call, query: PageQuery) -> Answer:
    """List API keys, newest first."""
    return ok(keys.listing(call.engine, call.caller, query.request()).as_dict())


@api_keys.route("DELETE", "/v1/api-keys/<uuid:key_id>", {204: None}, scope="admin")
def revoke(call: Call, key_id: UUID) -> Answer:
    """End an API key; it is refused within seconds."""
    keys.revoke(call.engine, call.caller, key_id)
    return no_content()
