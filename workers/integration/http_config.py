"""What an api_call is told, and what it answers."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, JsonValue, SecretStr, model_validator

from taskengine.handlers.base import HandlerConfig, HandlerOutput

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
AuthType = Literal["none", "bearer", "api_key", "basic", "oauth2"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The client frames the message and picks the virtual host itself; a second opinion is how requests are smuggled.
_OWN_HEADERS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
_NEEDED = {
    "none": (),
    "bearer": ("bearer_token",),
    "api_key": ("api_key",),
    "basic": ("username", "password"),
    "oauth2": ("token_url", "client_id", "client_secret"),
}


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError("must hold no spaces or control characters; percent-encode them")
    _ = parts.port  # raises ValueError when it is not a port
    return text


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_header(name, value)
    return headers


def check_header(name: str, value: str) -> None:
    """Refuse what cannot be a request header of a client; ValueError names it."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no header name")
    if name.lower() in _OWN_HEADERS or name.lower().startswith("proxy-"):
        raise ValueError(f"the header {name} is set by the client itself")
    if any(char in value for char in "\r\n\0"):
        raise ValueError(f"the value of header {name} holds a line break or NUL")


def _header_name(name: str) -> str:
    check_header(name, "")
    return name


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError('a JSON pointer is empty or starts with "/" (RFC 6901)')
    return text


HttpUrl = Annotated[str, Field(max_length=8192), AfterValidator(_http_url)]
Status = Annotated[int, Field(ge=100, le=599)]
Credential = Annotated[SecretStr, Field(min_length=1)]
Pointer = Annotated[str, AfterValidator(_pointer)]


class ApiCallConfig(HandlerConfig):
    """The request, its credentials, and what to make of the answer."""

    api_endpoint: HttpUrl = Field(description="URL to call.", examples=["https://api.example.com/v1/resource"])
    api_method: Annotated[Method, BeforeValidator(_upper)] = Field("GET", description="HTTP method.")
    api_payload: JsonValue = Field(
        None,
        description="Body: sent as JSON; an object is form-encoded when customHeaders say "
        "`application/x-www-form-urlencoded`; a string is sent as it is; null sends none.",
    )
    query: dict[str, JsonValue] = Field(
        {}, description="Query parameters, added to those of the URL; a list repeats its name, null is left out."
    )
    custom_headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        {}, description="Further request headers. For credentials use `{{ secrets.NAME }}` or authType."
    )
    auth_type: AuthType = Field("none", description="How to authenticate.")
    bearer_token: Credential | None = Field(None, description="Token for `bearer`.")
    api_key: Credential | None = Field(None, description="Key for `api_key`.")
    api_key_in: Literal["header", "query"] = Field("header", description="Where the key of `api_key` goes.")
    api_key_name: Annotated[str, AfterValidator(_header_name)] = Field(
        "X-API-Key",
        validation_alias=AliasChoices("apiKeyName", "api_key_name", "apiKeyHeader", "api_key_header"),
        description="Name of the header or query parameter for `api_key`.",
    )
    username: str | None = Field(None, description="User for `basic`.")
    password: SecretStr | None = Field(None, description="Password for `basic`; may be empty.")
    token_url: HttpUrl | None = Field(None, description="Token endpoint for `oauth2` (client credentials).")
    client_id: str | None = Field(None, min_length=1, description="Client for `oauth2`.")
    client_secret: Credential | None = Field(None, description="Client secret for `oauth2`.")
    scope: str | None = Field(None, description="Scopes to ask for with `oauth2`, separated by spaces.")
    client_auth: Literal["basic", "body"] = Field(
        "basic", description="How the `oauth2` client proves itself to the token endpoint."
    )
    timeout: int = Field(
        30_000, ge=1, le=86_400_000, description="Milliseconds for the whole call: redirects and body included."
    )
    max_redirects: int = Field(10, ge=0, le=30, description="Redirects to follow; 0 answers with the redirect.")
    expected_status: Status | list[Status] | None = Field(
        None, description="Status, or list of them, that counts as success; by default any 2xx."
    )
    max_response_bytes: int = Field(
        100 * 2**20, ge=0, le=2**30, description="Largest response body, counted after decompression."
    )
    extract: dict[str, Pointer] = Field(
        {},
        description="Values to take from a JSON answer, as name: JSON pointer (RFC 6901).",
        examples=[{"first_id": "/items/0/id"}],
    )

    @model_validator(mode="after")
    def _credentials_are_there(self) -> Self:
        missing = [name for name in _NEEDED[self.auth_type] if getattr(self, name) is None]
        if missing:
            fields = type(self).model_fields
            names = ", ".join(str(fields[name].alias) for name in missing)
            raise ValueError(f"authType {self.auth_type} needs {names}")
        return self

    def expects(self, status: int) -> bool:
        """Whether this status counts as success."""
        if self.expected_status is None:
            return 200 <= status < 300
        if isinstance(self.expected_status, int):
            return status == self.expected_status
        return status in self.expected_status


class Redirect(HandlerOutput):
    """One redirect that was followed."""

    status: int = Field(description="Status of the redirect.")
    url: str = Field(description="Where it pointed, without credentials.")


class StoredBody(HandlerOutput):
    """A body that was stored as an artifact."""

    id: UUID = Field(description="Opens at `/v1/artifacts/{id}`.")
    name: str = Field(description="File name.")
    content_type: str = Field(description="Media type.")
    size_bytes: int = Field(description="Size.")


class ApiCallOutput(HandlerOutput):
    """The answer, without credentials."""

    status: int = Field(description="HTTP status.")
    url: str = Field(description="The URL that answered, after redirects, without credentials.")
    headers: dict[str, str] = Field(description="Response headers, names in lower case; no cookies.")
    body: JsonValue = Field(description="The parsed body; null when there is none or it is an artifact.")
    body_kind: Literal["none", "json", "text", "base64", "artifact"] = Field(description="What `body` holds.")
    size_bytes: int = Field(description="Size of the body after decompression.")
    artifact: StoredBody | None = Field(description="The body, when it was too large for the result.")
    extracted: dict[str, JsonValue] = Field(description="What `extract` asked for.")
    redirects: int = Field(description="How many redirects were followed.")
    redirect_chain: list[Redirect] = Field(description="Each of them, in order.")
    duration_ms: int = Field(description="Time of the whole call in milliseconds.")
