"""Reading what a request holds: the body as JSON, the query, the path; each fault named with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from flask import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from api.errors import Malformed, UnsupportedMediaType, field_errors, invalid
from taskengine.domain.errors import FieldError

M = TypeVar("M", bound=BaseModel)
MAX_QUERY_FIELDS = 200
READ_TOO_MUCH = 1
"""Flask cuts a body of unannounced length at its limit without a word: the limit stands this much above ours."""

# Nineteen digits are the least that can leave 64 bits; orjson would quietly round such an integer to a float.
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_UNREADABLE: Any = object()


def read_body(request: Request) -> bytes:
    """The raw body, refused while it is read when it is too large, whether its length was announced or not."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"the body is compressed as {encoding[:50]!r}; send it as it is")
    raw = request.get_data(cache=False)
    limit = request.max_content_length
    if limit is not None and len(raw) >= limit:
        raise RequestEntityTooLarge
    return raw


def check_media_type(request: Request, media: tuple[str, ...]) -> None:
    """Only these types in UTF-8 are read."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype not in media or charset not in ("utf-8", "utf8"):
        sent = request.headers.get("Content-Type", "")[:100]
        raise UnsupportedMediaType(f"the body should be of Content-Type {' or '.join(media)}, not {sent!r}")


def decoded(raw: bytes) -> str:
    """A body as text; Malformed if it is no UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        text = f"the body is no UTF-8: {error.reason} at byte {error.start}"
        raise Malformed(text, [FieldError(("body",), "is no valid UTF-8", "utf8_invalid")]) from None


def parse_json(raw: bytes, validate: Callable[[Any], M]) -> M:
    """Parse ``raw`` once and validate it.

    What orjson refuses but Python's parser reads (infinite numbers, lone surrogates) goes to ``validate`` too, so
    that the answer names the field and not only the position.
    """
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        data = _lenient(raw)
        if data is not _UNREADABLE:
            validate(data)
        text = f"the body is no JSON: {error}"
        raise Malformed(text, [FieldError(("body",), str(error), "json_invalid")]) from None
    if _LONG_INTEGER.search(raw):
        exact = _lenient(raw)
        data = data if exact is _UNREADABLE else exact
    return validate(data)


def _lenient(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode())
    except (ValueError, RecursionError):
        return _UNREADABLE


def validated(model: type[M], data: Any, place: str) -> M:
    """``data`` as ``model``; Invalid names each fault below ``place``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid(field_errors(error, (place,))) from None


def parse_query(model: type[M], repeatable: frozenset[str], query_string: str) -> M:
    """The query as ``model``: unknown names, names sent twice and bad UTF-8 are errors."""
    if not query_string:
        return validated(model, {}, "query")
    values: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, value in _pairs(query_string):
        if name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in values:
            faults.append(FieldError(("query", name), "is sent more than once", "duplicate_parameter"))
        else:
            values[name] = value
        if "\0" in value:
            faults.append(FieldError(("query", name), "holds a NUL character", "value_error"))
    if faults:
        raise invalid(faults)
    return validated(model, values, "query")


def _pairs(query_string: str) -> list[tuple[str, str]]:
    try:
        text = query_string.encode("latin-1").decode("utf-8")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
    except UnicodeError:
        raise Malformed(
            "the query is no valid UTF-8", [FieldError(("query",), "is no valid UTF-8", "utf8_invalid")]
        ) from None
    except ValueError:
        raise Malformed(
            "the query has too many fields",
            [FieldError(("query",), f"has more than {MAX_QUERY_FIELDS} fields", "too_long")],
        ) from None


def parse_path(adapters: Mapping[str, TypeAdapter[Any]], values: dict[str, Any]) -> None:
    """Check the text parts of a path in place."""
    faults: list[FieldError] = []
    for name, adapter in adapters.items():
        try:
            values[name] = adapter.validate_python(values[name])
        except ValidationError as error:
            faults.extend(field_errors(error, ("path", name)))
    if faults:
        raise invalid(faults)


def many(model: type[M], entries: list[Any], place: tuple[str | int, ...], limit: int) -> list[M]:
    """Each entry as ``model``. Stops looking once ``limit`` faults are known, however long the list is."""
    validate = model.model_validate
    found: list[M] = []
    faults: list[FieldError] = []
    for index, entry in enumerate(entries):
        try:
            found.append(validate(entry))
        except ValidationError as error:
            faults.extend(field_errors(error, (*place, index)))
            if len(faults) >= limit:
                break
    if faults:
        raise invalid(faults)
    return found
