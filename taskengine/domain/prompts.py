"""What plain rules can read from a prompt: the address it names, and the data it asks for."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"https?://[^\s<>\"'`]+|\b(?:[a-z0-9-]+\.)+[a-z]{2,24}(?:/[^\s<>\"'`]*)?(?![\w@])", re.IGNORECASE)
_VERBS = r"extract|scrape|collect|gather|list|return|get|find(?!\s+out)|read|give\s+me|tell\s+me|show\s+me|fetch|take"
_ASKED = re.compile(
    rf"\b(?:{_VERBS})\s+(?P<many>all\s+(?:of\s+)?(?:the\s+)?|every\s+|each\s+)?(?:the\s+)?(?P<what>[^.;:\n]+)",
    re.IGNORECASE,
)
_WHERE = re.compile(r"\s+(?:from|on|in|at|of\s+(?:all|every|each|the))\s+.*$", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,|;|&|\band\b|\bplus\b|\bas well as\b|\bwith\s+(?:their|its)\b)\s*", re.IGNORECASE)
_NUMBERS = frozenset(
    {"price", "cost", "amount", "total", "quantity", "count", "rating", "score", "year", "age", "stock"}
)
_MOST_FIELDS = 30
_LONGEST_FIELD = 4
"""Words; what is longer is a sentence, no name."""


def address_in(prompt: str) -> str | None:
    """The first web address in a prompt, with its scheme; None if there is none. The domain of an e-mail is none."""
    for found in _ADDRESS.finditer(prompt):
        if found.start() and prompt[found.start() - 1] in "@.":
            continue
        text = found[0].rstrip(".,;:!?)]}")
        address = text if "://" in text else f"https://{text}"
        try:
            host = urlsplit(address).hostname
        except ValueError:
            continue
        if host:
            return address
    return None


def schema_in(prompt: str) -> dict[str, Any] | None:
    """A JSON Schema of the data that a prompt asks for ("all product names and prices"); None if it asks for none."""
    without_addresses = _ADDRESS.sub("it", prompt)
    for asked in _ASKED.finditer(without_addresses):
        parts = [part.strip() for part in _AND.split(_WHERE.sub("", asked["what"].strip())) if part.strip()]
        names = [_name(part) for part in parts]
        if not names or any(name is None for name in names):
            continue
        fields = _apart([name for name in names if name is not None])
        many = asked["many"] is not None or all(part.split()[-1].lower().endswith("s") for part in parts)
        record = {
            "type": "object",
            "properties": {name: {"type": _type(name)} for name in fields[:_MOST_FIELDS]},
            "required": fields[:_MOST_FIELDS],
        }
        return {"type": "array", "items": record} if many else record
    return None


def _name(part: str) -> str | None:
    found = re.findall(r"\w+", part.lower())
    found = [word for word in found if word not in {"the", "a", "an", "all", "their", "its", "each", "every"}]
    if not 1 <= len(found) <= _LONGEST_FIELD:
        return None
    found[-1] = found[-1][:-1] if found[-1].endswith("s") and not found[-1].endswith("ss") else found[-1]
    return "_".join(found)


def _apart(names: list[str]) -> list[str]:
    """``product_name, price`` is name and price of a product: what stands before the first alone is not its name."""
    first, *rest = names
    if rest and "_" in first and not any("_" in name for name in rest):
        first = first.rpartition("_")[2]
    return list(dict.fromkeys([first, *rest]))


def _type(name: str) -> str:
    return "number" if name.rpartition("_")[2] in _NUMBERS else "string"
