"""Keeps secrets out of what is written down."""

from __future__ import annotations

import html
import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from taskengine.domain.credentials import MASK

# Replacing shorter ones would hit innocent text, and hide nothing that could not be guessed.
_SHORTEST = 4
_LONGEST_BY_SIGN = 300
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos", "\xa0": "nbsp"}


class Redactor:
    """Replaces the secrets that an attempt has seen, also in their URL-encoded, quoted and HTML spellings."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._made: tuple[int, re.Pattern[str]] | None = None
        """For how many secrets the pattern was made: another thread may have added one since."""

    def add(self, secret: str) -> None:
        """From now on, hide this value."""
        if len(secret) >= _SHORTEST and secret not in self._secrets:
            self._secrets.add(secret)

    @property
    def active(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._secrets)

    @property
    def _pattern(self) -> re.Pattern[str] | None:
        if not self._secrets:
            return None
        made = self._made
        if made is None or made[0] != len(self._secrets):
            longest_first = sorted(self._secrets, key=len, reverse=True)
            made = self._made = len(longest_first), re.compile("|".join(map(_pattern_of, longest_first)))
        return made[1]

    def text(self, value: str) -> str:
        """The text with ``***`` for each secret."""
        pattern = self._pattern
        return value if pattern is None else pattern.sub(MASK, value)

    def json(self, value: Any) -> Any:
        """The JSON value with ``***`` for each secret, in keys too."""
        if not self.active:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name) if isinstance(name, str) else name: self.json(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value


@lru_cache(256)
def _pattern_of(secret: str) -> str:
    if len(secret) <= _LONGEST_BY_SIGN:
        return "".join(map(_spellings, secret))
    # The pattern by signs of a key file or a whole document would take seconds to make.
    encoded = secret.encode("utf-8", "replace")
    ways = {secret, quote(encoded), quote(encoded, safe=""), quote(encoded, safe="!'()*~"), quote_plus(encoded)}
    ways |= {quote_plus(encoded, safe="*"), html.escape(secret), html.escape(secret, quote=False)}
    ways |= {text[1:-1] for text in (repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False))}
    return "|".join(re.escape(way) for way in sorted(ways, key=len, reverse=True))


@lru_cache(1024)
def _spellings(character: str) -> str:
    """A pattern for a character as it stands in texts, URLs, forms, dumped JSON, tracebacks and HTML.

    Each encoder leaves other signs as they are, so each sign is looked for by itself. Encoded twice is still found;
    the repetitions are bounded, so that no text makes the search slow.
    """
    if character.isascii() and character.isalnum():
        return character
    number = ord(character)
    names = [f"#0*{number};", f"#[xX]0*(?i:{number:x});"]
    names += [f"{_ENTITIES[character]};"] if character in _ENTITIES else []
    encoded = "".join(f"%(?:25){{0,3}}{byte:02x}" for byte in character.encode("utf-8", "replace"))
    ways = [f"&(?:amp;){{0,3}}(?:{'|'.join(names)})", f"(?i:{encoded})"]
    for dumped in (json.dumps(character), repr(character), f'"\\u{number:04x}"'):
        escaped = dumped[1:-1]
        if escaped.startswith("\\"):
            ways.append("".join(r"\\{1,8}" + f"(?i:{re.escape(part)})" for part in escaped.split("\\") if part))
    if character == "\\":
        ways.append(r"\\{2,8}")
    elif character in "\"'":
        ways.append(r"\\{1,8}" + character)
    elif character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join([*dict.fromkeys(ways), re.escape(character)])})"
