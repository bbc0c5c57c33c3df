"""Keeps secrets out of what is written down."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, quote_plus

from taskengine.domain.credentials import MASK

# Replacing shorter ones would hit innocent text, and hide nothing that could not be guessed.
_SHORTEST = 4


class Redactor:
    """Replaces the secrets that an attempt has seen, also in their URL-encoded and quoted spellings."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """From now on, hide this value."""
        if len(secret) >= _SHORTEST:
            encoded = secret.encode("utf-8", "replace")
            self._secrets |= {secret, quote(encoded), quote(encoded, safe=""), quote_plus(encoded)}
            # A traceback shows values by their repr, a dumped body as JSON: quotes and line ends look different there.
            self._secrets |= {
                text[1:-1] for text in (repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False))
            }
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(item) for item in longest_first))

    @property
    def active(self) -> bool:
        """Whether there is anything to hide."""
        return self._pattern is not None

    def text(self, value: str) -> str:
        """The text with ``***`` for each secret."""
        return value if self._pattern is None else self._pattern.sub(MASK, value)

    def json(self, value: Any) -> Any:
        """The JSON value with ``***`` for each secret, in keys too."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name) if isinstance(name, str) else name: self.json(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value
