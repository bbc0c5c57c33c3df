"""What clients send, at its base: the model that refuses unknown fields, and the types of its fields."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

MAX_NESTING = 64
MAX_FIELDS = 100

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
# Outside of these, moving a time to another zone can leave what Postgres or Python can hold.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def no_nul(text: str) -> str:
    """Postgres cannot store NUL in text."""
    if "\0" in text:
        raise ValueError("holds a NUL character, which cannot be stored")
    return text


def storable(text: str) -> str:
    """Refuse text that UTF-8 or Postgres cannot hold: NUL and lone surrogates."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("holds a lone surrogate, which is no character") from None
    return no_nul(text)


def read_timestamp(value: Any) -> datetime:
    """RFC 3339 text, or an aware datetime, as a time in UTC between 1970 and 9998."""
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise ValueError("should be a time like 2030-01-31T09:00:00Z, with its zone (RFC 3339)")
        value = datetime.fromisoformat(value.upper())
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("should be a time like 2030-01-31T09:00:00Z, with its zone (RFC 3339)")
    if not _EARLIEST <= value < _LATEST:
        raise ValueError("should lie between the years 1970 and 9998")
    return value.astimezone(UTC)


def few_fields(value: Any) -> Any:
    """Refuse an object with very many fields before each unknown one is reported as a fault."""
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise ValueError(f"has {len(value)} fields; no object here takes more than {MAX_FIELDS}")
    return value


Timestamp = Annotated[datetime, BeforeValidator(read_timestamp)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(no_nul)]
Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(no_nul)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(no_nul)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]\S*$", max_length=2000), AfterValidator(storable)]
Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]


def check_json(value: Any) -> Any:
    """Refuse what JSON in Postgres cannot hold: NUL, lone surrogates, NaN, deep nesting, integers over 64 bits."""
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth > MAX_NESTING:
        raise ValueError(f"is nested deeper than {MAX_NESTING} levels")
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            storable(name)
            _check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("holds NaN or an infinite number, which JSON has no word for")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("holds an integer of more than 64 bits; send it as a string")


JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]


class Wire(BaseModel):
    """Base of what clients send: snake_case or camelCase, unknown fields and wrong types refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        return few_fields(value)
