"""Receiving a response body within bounds, and turning it into a result."""

from __future__ import annotations

import base64
import mimetypes
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Literal

import orjson
import requests
from pydantic import JsonValue

from taskengine.delivery.time_limit import TimeLimit
from taskengine.domain.errors import PermanentError, TransientError
from taskengine.domain.wire import check_json
from taskengine.handlers.base import Context

INLINE_BYTES = 256 * 1024
"""A body whose JSON form is larger becomes an artifact instead of a part of the result."""
DOCUMENT_BYTES = 64 * 2**20
"""Largest JSON body that ``extract`` reads: parsed, it takes several times its size in memory."""
_CHUNK_BYTES = 64 * 1024
_EXCERPT_CHARACTERS = 2000
_TEXT_TYPES = ("xml", "javascript", "x-www-form-urlencoded", "yaml", "x-yaml", "csv", "graphql", "x-ndjson", "sql")

BodyKind = Literal["none", "json", "text", "base64", "artifact"]


@dataclass(frozen=True, slots=True)
class Body:
    """A received body, decompressed; large ones wait on disk."""

    file: IO[bytes]
    size_bytes: int
    media_type: str
    """Lower case, without parameters; empty when the peer named none."""
    charset: str

    def content(self) -> bytes:
        """All of it."""
        self.file.seek(0)
        return self.file.read()

    @property
    def is_json(self) -> bool:
        """Whether it claims to be JSON."""
        return _is_json(self.media_type)

    @property
    def is_text(self) -> bool:
        """Whether it claims to be text of another kind."""
        return _is_text(self.media_type)

    def file_name(self) -> str:
        """A name for its artifact."""
        return "response" + (mimetypes.guess_extension(self.media_type) or ".bin")


def receive(response: requests.Response, max_bytes: int, limit: TimeLimit, ctx: Context) -> Body:
    """Read the body as it comes, counting decoded bytes, so that a small bomb cannot grow large here.

    Raises PermanentError ``response_too_large``, TransientError ``interrupted``, TimeLimitExceeded.
    """
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > max_bytes and response.request.method != "HEAD":
        raise _too_large(max_bytes)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=INLINE_BYTES)  # noqa: SIM115 - the Body owns it
    try:
        size = 0
        for chunk in response.iter_content(_CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
            file.write(chunk)
            limit.check()
            if ctx.cancelled():
                raise TransientError("interrupted", "the attempt was stopped while the body was read")
        # A connection that the time limit ended may look like a complete body.
        limit.check()
    except BaseException:
        file.close()
        raise
    media_type, charset = _content_type(response.headers.get("Content-Type", ""))
    return Body(file, size, media_type, charset)


def receive_start(response: requests.Response, limit: TimeLimit) -> str:
    """The start of a textual body, for error details; empty for others. The rest is never read."""
    media_type, _ = _content_type(response.headers.get("Content-Type", ""))
    if not (_is_json(media_type) or _is_text(media_type)):
        return ""
    start = b""
    for chunk in response.iter_content(_EXCERPT_CHARACTERS):
        start += chunk
        limit.check()
        if len(start) >= 4 * _EXCERPT_CHARACTERS:
            break
    return start.decode("utf-8", errors="replace")[:_EXCERPT_CHARACTERS].replace("\0", "\ufffd")


def _too_large(max_bytes: int) -> PermanentError:
    return PermanentError(
        "response_too_large",
        f"the response body exceeds {max_bytes} bytes (maxResponseBytes)",
        {"max_response_bytes": max_bytes},
    )


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _is_text(media_type: str) -> bool:
    subtype = media_type.rpartition("/")[2]
    return media_type.startswith("text/") or subtype.rpartition("+")[2] in _TEXT_TYPES


def _content_type(value: str) -> tuple[str, str]:
    if not value:
        return "", "utf-8"
    message = Message()
    message["Content-Type"] = value
    return message.get_content_type(), message.get_content_charset("utf-8")


def parse_json(body: Body) -> JsonValue:
    """The body as JSON; PermanentError ``bad_response`` when it is too large to parse, or broken."""
    if body.size_bytes > DOCUMENT_BYTES:
        raise PermanentError("bad_response", f"extract reads JSON of at most {DOCUMENT_BYTES} bytes")
    try:
        document: JsonValue = orjson.loads(_text(body) if body.charset != "utf-8" else body.content())
    except orjson.JSONDecodeError as error:
        raise PermanentError("bad_response", f"the body says it is JSON, but is not: {error.msg}") from None
    return document


def inline_value(body: Body, document: JsonValue) -> tuple[BodyKind, JsonValue]:
    """The body as part of the result, or kind ``artifact`` when it is too large or cannot be stored as JSON.

    ``document`` is the parsed body of a JSON answer.
    """
    if body.size_bytes == 0:
        return "none", None
    if body.size_bytes > INLINE_BYTES:
        return "artifact", None
    kind, value = _small_value(body, document)
    try:
        check_json(value)
    except ValueError:  # NUL, or nested too deep for the database
        return "artifact", None
    return (kind, value) if len(orjson.dumps(value)) <= INLINE_BYTES else ("artifact", None)


def _small_value(body: Body, document: JsonValue) -> tuple[BodyKind, JsonValue]:
    if body.is_json:
        return "json", document
    if body.is_text:
        return "text", _text(body).replace("\0", "\ufffd")
    return "base64", base64.b64encode(body.content()).decode()


def _text(body: Body) -> str:
    try:
        return body.content().decode(body.charset, errors="replace")
    except LookupError:  # a charset nobody knows
        return body.content().decode("utf-8", errors="replace")


def extract_values(document: JsonValue, pointers: Mapping[str, str]) -> dict[str, JsonValue]:
    """What each JSON pointer points to; PermanentError ``extract_failed`` names the first that points to nothing."""
    return {name: _resolve(document, pointer, name) for name, pointer in pointers.items()}


def _resolve(document: JsonValue, pointer: str, name: str) -> JsonValue:
    value = document
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and _is_index(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise PermanentError(
                "extract_failed",
                f"extract {name!r}: the answer has nothing at {pointer!r}",
                {"name": name, "pointer": pointer},
            )
    return _storable(value, name)


def _is_index(part: str) -> bool:
    # RFC 6901: digits without leading zeros; ten of them are more than any list holds.
    return part == "0" or (part.isascii() and part.isdecimal() and part[0] != "0" and len(part) < 11)


def _storable(value: JsonValue, name: str) -> JsonValue:
    try:
        checked: JsonValue = check_json(value)
    except ValueError as error:
        raise PermanentError("extract_failed", f"extract {name!r}: the value {error}") from None
    return checked
