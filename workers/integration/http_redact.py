"""Keeps the credentials of a call out of everything that the call leaves behind."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, urlsplit, urlunsplit

from pydantic import JsonValue, SecretStr

from workers.integration.http_config import ApiCallConfig

MASK = "***"
_SHORTEST = 4
"""Shorter values are left alone: masking every "a" hides nothing and ruins the text."""
_TELLING = re.compile(
    r"(?i)(^|[^a-z])(api[-_]?key|key|.*token|.*secret|pass(word|wd)?|sig(nature)?|auth.*|credential.*|code|jwt)$"
)
_TELLING_HEADER = re.compile(r"(?i)auth|cookie|(?<!idempotency-)key|token|secret|password|signature")


class Redactor:
    """Masks known credentials by value, and query parameters that look like credentials by name."""

    def __init__(self, values: Iterable[str], query_names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in query_names)
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*values)

    def add(self, *values: str) -> None:
        """Know further credentials, such as a token that was fetched."""
        for value in values:
            if len(value) >= _SHORTEST:
                self._values |= {value, quote(value, safe=""), quote_plus(value)}
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """The text with every known credential masked."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def json(self, value: JsonValue) -> JsonValue:
        """The value with every known credential masked, in names too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {self.text(name): self.json(item) for name, item in value.items()}
        return value

    def url(self, url: str) -> str:
        """The URL without user, password and fragment, and with telling query values masked."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return MASK
        query = "&".join(self._pair(pair) for pair in parts.query.split("&")) if parts.query else ""
        host = parts.netloc.rpartition("@")[2]
        return self.text(urlunsplit((parts.scheme, host, parts.path, query, "")))

    def _pair(self, pair: str) -> str:
        name, equals, _ = pair.partition("=")
        plain = unquote(name)
        if equals and (plain.lower() in self._names or _TELLING.search(plain)):
            return f"{name}={MASK}"
        return pair


def redactor_for(config: ApiCallConfig) -> Redactor:
    """A redactor that knows every credential in the config."""
    values = [
        field.get_secret_value()
        for name in type(config).model_fields
        if isinstance(field := getattr(config, name), SecretStr)
    ]
    for name, value in config.custom_headers.items():
        if _TELLING_HEADER.search(name):
            values += [value, value.rpartition(" ")[2]]  # "Bearer x" hides x on its own too
    parts = urlsplit(config.api_endpoint)
    if parts.password:
        values.append(unquote(parts.password))
        values.append(basic_pair(unquote(parts.username or ""), unquote(parts.password)))
    if config.password is not None:
        values.append(basic_pair(config.username or "", config.password.get_secret_value()))
    if config.client_secret is not None:
        values.append(basic_pair(config.client_id or "", config.client_secret.get_secret_value()))
    return Redactor(values, [config.api_key_name] if config.api_key_in == "query" else [])


def basic_pair(username: str, password: str) -> str:
    """User and password as HTTP Basic carries them."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()
